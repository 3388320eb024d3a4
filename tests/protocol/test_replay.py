"""States and money derived from events: honest histories balance, impossible ones are refused."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lifecycle import (
    BatchPosted,
    Deposited,
    Event,
    LeaseLapsed,
    LeaseReleased,
    Place,
    PriorityRaised,
    RequestRevoked,
    ResultPosted,
    Standing,
    TaskClaimed,
    TaskRefunded,
    TaskSettled,
    TaskSkipped,
    TaskState,
    TaskSubmitted,
    Withdrawn,
    claimable,
    derived_state,
)
from protocol.money import charge_units
from protocol.parameters import Parameters
from protocol.replay import ImpossibleHistory, MarketReplay, replay
from protocol.request import Request

BOND = 1_000
PARAMETERS = Parameters(
    window_secs=5,
    answer_time_secs=20,
    arbiter_timeout_secs=120,
    min_lease_secs=5,
    max_life_secs=86_400,
    inversion_grace_secs=5,
    bond_unit_units=BOND,
    challenge_bond_units=2_001,
    demand_fee_units=100,
    age_rate_wei=1,
    arbiter="0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
)
ASKER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
WORKER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
RIVAL = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
TASK, ROOT = b"\1" * 32, b"\2" * 32


def at(seconds=0):
    return Place(1, b"\0" * 32, b"\0" * 32, 0, seconds)


def request(max_fee_units=1_000, tip_units=50, salt=b"\3" * 32):
    return Request(
        requester=ASKER,
        salt=salt,
        model_id=b"\4" * 32,
        input_digest=b"\5" * 32,
        params_digest=b"\6" * 32,
        max_fee_units=max_fee_units,
        flat_percent=10,
        tip_units=tip_units,
        max_output_tokens=100,
        bond_units=2,
        deadline=1_000,
        lease_secs=60,
        input_uri="inputs/x",
    )


FUNDED: list[Event] = [
    Deposited(at(), ASKER, 10_000),
    Deposited(at(), WORKER, 5_000),
    Deposited(at(), RIVAL, 9_000),
]
SUBMITTED = [*FUNDED, TaskSubmitted(at(10), TASK, request(), 10)]
CLAIMED = [*SUBMITTED, TaskClaimed(at(20), TASK, WORKER, 80)]
POSTED = [
    *CLAIMED,
    BatchPosted(at(30), ROOT, WORKER, 1),
    ResultPosted(at(30), TASK, ROOT, b"\7" * 32, 50, 35),
]
SETTLED = [*POSTED, TaskSettled(at(40), TASK, WORKER, 100 + 450 + 50, 450)]


def test_a_settled_task_pays_its_worker_and_returns_the_rest():
    view = replay(SETTLED, PARAMETERS)
    task = view.tasks[TASK]
    assert (task.state, task.worker, task.output_tokens) == (TaskState.SETTLED, WORKER, 50)
    assert (task.claimed_at, task.posted_at, task.ended_at) == (20, 30, 40)
    assert view.accounts[ASKER].free_units == 10_000 - 600
    assert (view.accounts[WORKER].free_units, view.accounts[WORKER].locked_units) == (5_600, 0)
    assert view.totals.escrow_units == view.totals.burned_units == 0
    assert view.batches == {ROOT: (WORKER, 1)}


def test_a_running_task_holds_escrow_and_bond():
    totals = replay(CLAIMED, PARAMETERS).totals
    assert (totals.escrow_units, totals.locked_units, totals.free_units) == (
        1_050,
        2_000,
        24_000 - 1_050 - 2_000,
    )


def test_an_eviction_burns_the_bond_and_leases_to_the_next():
    evicted = [*CLAIMED, LeaseLapsed(at(90), TASK, WORKER, 2_000), TaskClaimed(at(90), TASK, RIVAL, 150)]
    view = replay(evicted, PARAMETERS)
    assert view.tasks[TASK].worker == RIVAL
    assert view.totals.burned_units == 2_000
    assert view.accounts[WORKER].free_units == 3_000


def test_a_release_burns_a_part():
    view = replay([*CLAIMED, LeaseReleased(at(30), TASK, WORKER, 333)], PARAMETERS)
    assert view.tasks[TASK].state is TaskState.OPEN
    assert view.accounts[WORKER].free_units == 5_000 - 333


def test_a_raised_tip_comes_from_the_free_balance_and_restarts_the_age():
    view = replay([*SUBMITTED, PriorityRaised(at(15), TASK, 80, 100, 15)], PARAMETERS)
    assert (view.tasks[TASK].tip_units, view.tasks[TASK].priced_at) == (80, 15)
    assert view.accounts[ASKER].free_units == 10_000 - 1_080


def test_a_refund_returns_the_whole_escrow():
    view = replay([*SUBMITTED, TaskRefunded(at(20), TASK, 1, 1_050)], PARAMETERS)
    assert (view.tasks[TASK].state, view.tasks[TASK].refund_reason) == (TaskState.REFUNDED, 1)
    assert view.accounts[ASKER].free_units == 10_000


def test_skips_move_nothing():
    skipped = [*SUBMITTED, TaskSkipped(at(20), TASK, TaskState.OPEN, 8)]
    assert replay(skipped, PARAMETERS).totals == replay(SUBMITTED, PARAMETERS).totals


@pytest.mark.parametrize(
    "history",
    [
        SUBMITTED[3:],
        [*SUBMITTED, SUBMITTED[-1]],
        [*FUNDED, TaskClaimed(at(), TASK, WORKER, 80)],
        [*CLAIMED, TaskClaimed(at(), TASK, RIVAL, 80)],
        [*CLAIMED, PriorityRaised(at(), TASK, 80, 100, 15)],
        [*SUBMITTED, PriorityRaised(at(), TASK, 40, 100, 15)],
        [*SUBMITTED, LeaseLapsed(at(), TASK, WORKER, 2_000)],
        [*CLAIMED, LeaseLapsed(at(), TASK, RIVAL, 2_000)],
        [*CLAIMED, LeaseReleased(at(), TASK, WORKER, 2_001)],
        [*CLAIMED, ResultPosted(at(), TASK, ROOT, b"\7" * 32, 50, 35)],
        [*CLAIMED, BatchPosted(at(), ROOT, RIVAL, 1), ResultPosted(at(), TASK, ROOT, b"\7" * 32, 50, 35)],
        [*CLAIMED, TaskRefunded(at(), TASK, 1, 1_050)],
        [*CLAIMED, TaskSettled(at(), TASK, WORKER, 600, 450)],
        [*POSTED, TaskSettled(at(), TASK, WORKER, 601, 449)],
        [*POSTED, TaskSettled(at(), TASK, RIVAL, 600, 450)],
        [*SETTLED, SETTLED[-1]],
        [*SUBMITTED, TaskRefunded(at(), TASK, 1, 1_049)],
        [*FUNDED, Withdrawn(at(), ASKER, ASKER, 10_001)],
    ],
)
def test_a_history_the_contract_cannot_make_is_refused(history):
    with pytest.raises(ImpossibleHistory):
        replay(history, PARAMETERS)


@given(st.data())
def test_money_balances_after_every_event_of_any_honest_history(data):
    """Random lives of several tasks: what came in is free, locked, escrowed, burned or gone."""
    history, numbers = [*FUNDED], count(1)
    for _ in range(data.draw(st.integers(0, 4))):
        history += _a_life(data, next(numbers))
    history.append(Withdrawn(at(), WORKER, ASKER, data.draw(st.integers(0, 100))))
    market = MarketReplay(PARAMETERS)
    for event in history:
        market.apply(event)
        view = market.view()
        totals = view.totals
        kept = totals.free_units + totals.locked_units + totals.escrow_units + totals.burned_units
        assert totals.deposited_units - totals.withdrawn_units == kept
        assert all(account.locked_units >= 0 for account in view.accounts.values())


def _a_life(data, number) -> list[Event]:
    task_id, root = number.to_bytes(32, "big"), (100 + number).to_bytes(32, "big")
    fee, tip = data.draw(st.integers(0, 500)), data.draw(st.integers(0, 50))
    events: list[Event] = [TaskSubmitted(at(), task_id, request(fee, tip, salt=task_id), 0)]
    end = data.draw(st.sampled_from(["open", "cancelled", "lapsed", "leased", "posted", "settled"]))
    if end == "cancelled":
        events.append(TaskRefunded(at(), task_id, 1, fee + tip))
    if end in ("lapsed", "leased", "posted", "settled"):
        events.append(TaskClaimed(at(), task_id, RIVAL, 60))
    if end == "lapsed":
        burned = data.draw(st.integers(0, 200))
        events += [LeaseReleased(at(), task_id, RIVAL, burned), TaskRefunded(at(), task_id, 2, fee + tip)]
    if end in ("posted", "settled"):
        tokens = data.draw(st.integers(0, 100))
        events += [BatchPosted(at(), root, RIVAL, 1), ResultPosted(at(), task_id, root, root, tokens, 5)]
        if end == "settled":
            paid = charge_units(fee, 10, tokens, 100) + tip
            events.append(TaskSettled(at(), task_id, RIVAL, paid, fee + tip - paid))
    return events


def test_a_replayed_task_has_a_standing_at_every_second():
    submitted, claimed, posted = (
        replay(events, PARAMETERS).tasks[TASK] for events in (SUBMITTED, CLAIMED, POSTED)
    )
    assert [derived_state(submitted, now) for now in (1_000, 1_001)] == [Standing.OPEN, Standing.EXPIRED]
    assert [derived_state(claimed, now) for now in (80, 81, 1_001)] == [
        Standing.LEASED,
        Standing.LAPSED,
        Standing.EXPIRED,
    ]
    assert [derived_state(posted, now) for now in (35, 36, 1_001)] == [
        Standing.POSTED,
        Standing.SETTLEABLE,
        Standing.SETTLEABLE,
    ]
    assert derived_state(replay(SETTLED, PARAMETERS).tasks[TASK], 9_999) is Standing.SETTLED


def test_a_lapsed_lease_may_be_claimed_and_a_running_one_not():
    task = replay(CLAIMED, PARAMETERS).tasks[TASK]
    assert not claimable(task, 80)
    assert claimable(task, 81)
    assert not claimable(task, 941), "a whole lease does not fit any more"


def test_a_revoked_request_never_opens_a_task():
    revoked = [*FUNDED, RequestRevoked(at(), TASK, ASKER)]
    assert replay(revoked, PARAMETERS).revoked == {TASK: ASKER}
    with pytest.raises(ImpossibleHistory):
        replay([*revoked, SUBMITTED[-1]], PARAMETERS)
