"""What is paid, what is burned, who comes first."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from protocol.money import bond_units_total, charge_units, escrow_units, release_burn_units
from protocol.priority import priority, rank_key

FEES = st.integers(0, 2**48 - 1)
PERCENTS = st.integers(0, 100)
MOST = st.integers(1, 2**32 - 1)
AGE_RATES = st.integers(0, 2**64 - 1)


@given(FEES, PERCENTS, MOST, st.data())
def test_a_charge_never_exceeds_the_fee_and_reaches_it(fee, percent, most, data):
    tokens = data.draw(st.integers(0, most))
    assert 0 <= charge_units(fee, percent, tokens, most) <= fee
    assert charge_units(fee, percent, most, most) == fee
    assert charge_units(fee, percent, 0, most) == fee * percent // 100


@given(FEES, PERCENTS, MOST, st.data())
def test_more_tokens_never_cost_less(fee, percent, most, data):
    tokens = data.draw(st.integers(0, most - 1))
    assert charge_units(fee, percent, tokens, most) <= charge_units(fee, percent, tokens + 1, most)


@given(FEES, FEES, st.sampled_from([1, 3, 5, 7]))
def test_escrow_covers_every_charge_and_the_tip(fee, tip, replicas):
    assert escrow_units(fee, replicas, tip) == sum([charge_units(fee, 0, 1, 1)] * replicas) + tip


@given(st.integers(1, 2**32), st.integers(5, 2**24 - 1), st.data())
def test_an_early_release_burns_the_time_held_and_five_percent_at_least(bond, lease_secs, data):
    held = data.draw(st.integers(0, lease_secs))
    burned = release_burn_units(bond, held, lease_secs)
    assert burned == max(bond * 5 // 100, int(Fraction(bond * held, lease_secs)))
    assert release_burn_units(bond, lease_secs, lease_secs) == bond


def test_a_bond_is_a_multiple_of_the_markets_unit():
    assert bond_units_total(3, 1_000_000) == 3_000_000


@given(FEES, MOST, st.integers(0, 10**6), AGE_RATES)
def test_waiting_never_lowers_a_priority(tip_wei, most, waited, age_rate):
    now = priority(tip_wei, 1, most, 1_000, 1_000 + waited, age_rate)
    assert priority(tip_wei, 1, most, 1_000, 1_001 + waited, age_rate) == now + age_rate


def test_a_task_without_tip_overtakes_a_fresh_price_after_price_over_age_rate():
    price_wei, age_rate_wei = 60 * 10**9, 10**9
    fresh = priority(price_wei, 1, 10**6, 0, 0, age_rate_wei)
    assert fresh == price_wei
    assert priority(0, 1, 10**6, 0, 60, age_rate_wei) == fresh
    assert priority(0, 1, 10**6, 0, 61, age_rate_wei) > fresh


def test_ties_go_to_the_lower_id():
    ranked = sorted([(5, b"\2"), (7, b"\3"), (5, b"\1")], key=lambda item: rank_key(*item))
    assert ranked == [(7, b"\3"), (5, b"\1"), (5, b"\2")]
