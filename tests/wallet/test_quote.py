"""Price and wait follow from the queue and the recent past, and from nothing else."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.currency import Currency
from protocol.lifecycle import TaskState, TaskView
from protocol.money import charge_units
from tests.wallet.makers import MODEL, NOW, market, task
from wallet.quote import NoPriceYet, PriceTooLow, Terms, Want, check_price, keeps_its_rank, quote

TERMS = Terms(min_lease_secs=5, max_life_secs=86_400, age_rate_wei=10**9, gas_price_wei=10**9)
WANT = Want(MODEL, max_output_tokens=100)


def served(number: int, **fields: Any) -> TaskView:
    """Leased for ten seconds, fifty tokens."""
    times = {"submitted_at": 100 * number, "claimed_at": 100 * number + 2, "posted_at": 100 * number + 12}
    return task(number, TaskState.SETTLED, **{"output_tokens": 50, **times, **fields})


def test_an_unused_market_offers_the_gas_and_knows_no_wait():
    offer = quote(market(), NOW, WANT, TERMS)
    assert offer.wait_secs is None
    assert (offer.recent_tasks, offer.tasks_ahead, offer.front_tip_units) == (0, 0, 0)
    check_price(offer.fee_units, offer.flat_percent, WANT, TERMS)


def test_the_price_is_what_recent_tasks_paid():
    offer = quote(market(*(served(n) for n in range(1, 6))), NOW, WANT, TERMS)
    assert offer.recent_tasks == 5
    assert (offer.fee_units, offer.flat_percent) == (300_000, 50)


def test_one_extravagant_task_moves_no_median():
    calm = quote(market(*(served(n) for n in range(1, 6))), NOW, WANT, TERMS)
    bought = served(9, max_fee_units=10**12)
    assert (
        quote(market(*(served(n) for n in range(1, 6)), bought), NOW, WANT, TERMS).fee_units == calm.fee_units
    )


def test_the_wait_is_the_queue_at_the_recent_speed():
    # 50 of 100 declared tokens in ten seconds: 5 tokens a second, half of what is declared.
    idle = quote(market(served(1)), NOW, WANT, TERMS)
    assert idle.tokens_per_s == 5.0
    assert idle.wait_secs == max(0.5 * 100 / 5.0, 12)
    busy = quote(market(served(1), task(2), task(3, TaskState.LEASED, until=NOW + 5)), NOW, WANT, TERMS)
    assert (busy.tasks_ahead, busy.tokens_ahead) == (2, 200)
    assert busy.wait_secs == 0.5 * 300 / 5.0


def test_parallel_leases_count_their_time_once():
    pair = (served(1), served(2, submitted_at=100, claimed_at=102, posted_at=112))
    assert quote(market(*pair), NOW, WANT, TERMS).tokens_per_s == 10.0


def test_the_front_tip_passes_every_waiting_task_and_one_less_does_not():
    queue = market(served(1), task(2, tip_units=70), task(3), task(4, TaskState.LEASED, until=NOW - 1))
    front = quote(queue, NOW, WANT, TERMS).front_tip_units
    assert quote(queue, NOW, replace(WANT, tip_units=front), TERMS).tasks_ahead == 0
    assert quote(queue, NOW, replace(WANT, tip_units=front - 1), TERMS).tasks_ahead > 0


def test_other_models_and_dead_tasks_do_not_wait():
    expired = task(2)
    expired = replace(expired, request=replace(expired.request, deadline=NOW - 1))
    others = (expired, task(3, model_id=b"x" * 32), task(4, TaskState.REFUNDED))
    assert quote(market(*others), NOW, WANT, TERMS).tasks_ahead == 0


@given(
    fee=st.integers(0, 10**9),
    tokens=st.integers(1, 10**6),
    gas_price_wei=st.integers(0, 10**12),
    flat_percent=st.integers(0, 100),
    replicas=st.sampled_from([1, 3, 5, 7]),
)
def test_every_offer_pays_its_gas_and_can_be_asked(fee, tokens, gas_price_wei, flat_percent, replicas):
    terms = replace(TERMS, gas_price_wei=gas_price_wei)
    history = market(served(1, max_fee_units=fee, flat_percent=flat_percent))
    want = Want(MODEL, tokens, replicas=replicas)
    offer = quote(history, NOW, want, terms)
    check_price(offer.fee_units, offer.flat_percent, want, terms)
    assert charge_units(offer.fee_units, offer.flat_percent, 0, tokens) >= terms.gas_units(replicas)
    assert offer.max_price_units == replicas * offer.fee_units
    assert terms.min_lease_secs <= offer.lease_secs <= offer.life_secs <= terms.max_life_secs


@pytest.mark.parametrize(("fee", "flat", "tip"), [(0, 0, 0), (45_000 * 3, 0, 0), (44_999, 100, 0)])
def test_a_price_below_the_gas_is_refused(fee, flat, tip):
    with pytest.raises(PriceTooLow, match="45000 gwei of gas"):
        check_price(fee, flat, replace(WANT, tip_units=tip), TERMS)


def test_a_small_raise_that_loses_the_age_is_seen():
    # 100 s of waiting are worth 100 gwei per million tokens: a tip of 1 gwei on 100 tokens is worth far more.
    assert keeps_its_rank(task(1), 1, NOW, TERMS)
    slow = replace(TERMS, age_rate_wei=10**18)
    assert not keeps_its_rank(task(1), 1, NOW, slow)


def test_replicas_are_more_work_for_the_queue_and_share_the_tip():
    one, three = task(2, tip_units=90), task(3, tip_units=90, replicas=3)
    alone = quote(market(served(1), one), NOW, WANT, TERMS)
    shared = quote(market(served(1), three), NOW, WANT, TERMS)
    assert (alone.tokens_ahead, shared.tokens_ahead) == (100, 300)
    assert shared.front_tip_units < alone.front_tip_units
    assert quote(market(served(1)), NOW, replace(WANT, replicas=3), TERMS).wait_secs == 0.5 * 300 / 5.0


def test_in_a_market_of_a_token_gas_says_nothing_and_a_price_must_be_known_or_named():
    coins = replace(TERMS, currency=Currency("USDC", 6))
    with pytest.raises(NoPriceYet, match="--max-fee"):
        quote(market(), NOW, WANT, coins)
    named = quote(market(), NOW, replace(WANT, fee_units=5), coins)
    assert named.max_price_units == 5
    check_price(named.fee_units, named.flat_percent, WANT, coins)
    learned = quote(market(served(1, max_fee_units=700)), NOW, WANT, coins)
    assert learned.fee_units == 700
