"""Replicas, demands and disputes derived from events: who gets what, and what no contract could have emitted."""

from dataclasses import replace as change

import pytest

from protocol.lifecycle import (
    BondSlashed,
    ChallengeLost,
    ChallengeReturned,
    CommitmentBurned,
    DemandClosed,
    DemandLapsed,
    DemandState,
    Deposited,
    Event,
    LeafAnswered,
    LeafDemanded,
    LeaseLapsed,
    LeaseReleased,
    ResultCommitted,
    ResultRevealed,
    RevealOpened,
    RoundWon,
    SeatPaid,
    SeatState,
    Standing,
    TaskChallenged,
    TaskClaimed,
    TaskRefunded,
    TaskRuled,
    TaskSettled,
    TaskState,
    TaskSubmitted,
    claimable,
    derived_state,
)
from protocol.replay import ImpossibleHistory, MarketReplay, replay
from tests.protocol.test_replay import ASKER, FUNDED, PARAMETERS, POSTED, RIVAL, TASK, WORKER, at, request

THIRD, CHALLENGER = PARAMETERS.arbiter, "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
NOBODY = "0x" + "0" * 40
RIGHT, WRONG = b"\x0a" * 32, b"\x0b" * 32
BOND, ESCROW = 2_000, 3 * 1_000 + 50
EACH = 100 + 450 + 50 // 3  # flat, half of the tokens, a third of the tip

ROUND: list[Event] = [
    *FUNDED,
    Deposited(at(), THIRD, 5_000),
    Deposited(at(), CHALLENGER, 5_000),
    TaskSubmitted(at(10), TASK, change(request(), replicas=3, equivalence=b"\x0c" * 32), 10),
]
SEATED = [*ROUND, *(TaskClaimed(at(20), TASK, who, 80) for who in (WORKER, RIVAL, THIRD))]
COMMITTED = [*SEATED, *(ResultCommitted(at(30), TASK, who, who.encode()) for who in (WORKER, RIVAL, THIRD))]
OPENED = [*COMMITTED, RevealOpened(at(30), TASK, 50)]


def shown(who, verdict, tokens=50):
    return ResultRevealed(at(40), TASK, who, who.encode(), verdict, tokens)


REVEALED = [*OPENED, shown(WORKER, RIGHT), shown(RIVAL, WRONG, 99), shown(THIRD, RIGHT)]
WON = [*REVEALED, SeatPaid(at(41), TASK, RIVAL, 0, BOND), RoundWon(at(41), TASK, RIGHT, 2, 50, 46)]
PAID = [SeatPaid(at(60), TASK, who, EACH, BOND) for who in (WORKER, THIRD)]
SETTLED = [*WON, *PAID, TaskSettled(at(60), TASK, NOBODY, 2 * EACH, ESCROW - 2 * EACH)]
CHALLENGED = [*WON, TaskChallenged(at(45), TASK, CHALLENGER, 2_001, 165)]
DEMANDED = [*WON, LeafDemanded(at(45), TASK, 1, RIVAL, 65)]


def gains(history):
    """What each has beyond its deposits, free and locked together."""
    accounts = replay(history, PARAMETERS).accounts
    paid_in = dict.fromkeys(accounts, 0)
    for event in history:
        if isinstance(event, Deposited):
            paid_in[event.account] += event.amount_units
    return {
        who: account.free_units + account.locked_units - paid_in[who]
        for who, account in accounts.items()
        if account.free_units + account.locked_units != paid_in[who]
    }


def balances(history):
    """Nothing appears or vanishes at any event."""
    market = MarketReplay(PARAMETERS)
    for event in history:
        market.apply(event)
        totals = market.view().totals
        assert totals.held_units == totals.deposited_units - totals.withdrawn_units
    return market.view()


def test_a_round_is_won_by_its_quorum_and_the_minority_keeps_its_bond():
    view = balances(SETTLED)
    task = view.tasks[TASK]
    assert (task.state, task.winners, task.verdict, task.output_tokens) == (
        TaskState.SETTLED,
        (WORKER, THIRD),
        RIGHT,
        50,
    )
    assert task.worker == ""
    assert gains(SETTLED) == {ASKER: -2 * EACH, WORKER: EACH, THIRD: EACH}
    assert view.totals.locked_units == view.totals.escrow_units == view.totals.burned_units == 0


def test_a_round_stands_where_time_has_put_it():
    seated, committed, opened, revealed = (
        replay(events, PARAMETERS).tasks[TASK] for events in (SEATED, COMMITTED[:-1], OPENED, REVEALED)
    )
    assert [derived_state(seated, now) for now in (80, 81, 1_001)] == [
        Standing.LEASED,
        Standing.LAPSED,
        Standing.EXPIRED,
    ]
    assert [derived_state(committed, now) for now in (81, 1_000, 1_001)] == [
        Standing.LEASED,
        Standing.LEASED,
        Standing.REVEALABLE,
    ]
    assert [derived_state(opened, now) for now in (50, 51)] == [Standing.REVEALING, Standing.CLOSABLE]
    assert derived_state(revealed, 41) is Standing.CLOSABLE


def test_a_seat_is_claimable_while_free_or_lapsed_and_by_each_worker_once():
    one = replay(ROUND + SEATED[len(ROUND) : len(ROUND) + 1], PARAMETERS).tasks[TASK]
    full = replay(SEATED, PARAMETERS).tasks[TASK]
    assert claimable(one, 30, RIVAL)
    assert not claimable(one, 30, WORKER)
    assert claimable(one, 81, WORKER), "its own lease has lapsed"
    assert not claimable(full, 80, CHALLENGER)
    assert claimable(full, 81, CHALLENGER)
    assert not claimable(replay(COMMITTED, PARAMETERS).tasks[TASK], 81, CHALLENGER)


def test_an_evicted_seat_is_burned_and_taken_by_the_next():
    history = [
        *SEATED,
        LeaseLapsed(at(90), TASK, RIVAL, BOND),
        TaskClaimed(at(90), TASK, CHALLENGER, 150),
    ]
    task = balances(history).tasks[TASK]
    assert {seat.worker for seat in task.seats} == {WORKER, THIRD, CHALLENGER}
    assert (task.state, task.until) == (TaskState.LEASED, 0)
    assert gains(history) == {ASKER: -ESCROW, RIVAL: -BOND}


def test_a_task_is_open_again_when_its_last_seat_is_released():
    left = [LeaseReleased(at(30), TASK, who, 100) for who in (WORKER, RIVAL)]
    assert replay([*SEATED, *left], PARAMETERS).tasks[TASK].state is TaskState.LEASED
    task = balances([*SEATED, *left, LeaseReleased(at(33), TASK, THIRD, 100)]).tasks[TASK]
    assert (task.state, task.until, task.seats) == (TaskState.OPEN, 33, ())


def test_without_a_quorum_each_revealed_replica_gets_half_its_charge():
    history = [
        *OPENED,
        shown(WORKER, RIGHT),
        shown(RIVAL, WRONG, 100),
        SeatPaid(at(60), TASK, WORKER, 275, BOND),
        SeatPaid(at(60), TASK, RIVAL, 500, BOND),
        CommitmentBurned(at(60), TASK, THIRD, BOND),
        TaskRefunded(at(60), TASK, 3, ESCROW - 775),
    ]
    assert balances(history).tasks[TASK].refund_reason == 3
    assert gains(history) == {ASKER: -775, WORKER: 275, RIVAL: 500, THIRD: -BOND}


def test_an_expired_round_burns_idle_leases_and_returns_the_bonds_of_the_diligent():
    history = [
        *COMMITTED[: len(SEATED) + 1],
        LeaseLapsed(at(1_001), TASK, RIVAL, BOND),
        LeaseLapsed(at(1_001), TASK, THIRD, BOND),
        SeatPaid(at(1_001), TASK, WORKER, 0, BOND),
        TaskRefunded(at(1_001), TASK, 2, ESCROW),
    ]
    assert balances(history).tasks[TASK].state is TaskState.REFUNDED
    assert gains(history) == {RIVAL: -BOND, THIRD: -BOND}


def test_a_late_reveal_goes_on_with_the_quorum_that_committed():
    history = [
        *COMMITTED[: len(SEATED) + 2],
        LeaseLapsed(at(1_001), TASK, THIRD, BOND),
        RevealOpened(at(1_001), TASK, 1_021),
        shown(WORKER, RIGHT),
        shown(RIVAL, RIGHT),
        RoundWon(at(1_010), TASK, RIGHT, 2, 50, 1_015),
    ]
    task = balances(history).tasks[TASK]
    assert (task.state, task.winners) == (TaskState.POSTED, (WORKER, RIVAL))
    assert [seat.state for seat in task.seats] == [SeatState.WON, SeatState.WON, SeatState.BURNED]


def test_an_answered_demand_pays_every_winner_and_burns_what_does_not_divide():
    history = [*DEMANDED, LeafAnswered(at(50), TASK, 1, tuple(range(18)), 50, 0)]
    view = balances(history)
    assert view.demands[TASK, 1].state is DemandState.ANSWERED
    assert view.demands[TASK, 1].tokens == tuple(range(18))
    assert view.tasks[TASK].open_demands == 0
    assert gains(history) == {ASKER: -ESCROW, WORKER: 50, THIRD: 50, RIVAL: -100}


def test_an_open_demand_holds_its_fee_and_keeps_the_task_from_settling():
    view = balances(DEMANDED)
    assert view.totals.demand_fee_units == 100
    assert derived_state(view.tasks[TASK], 47) is Standing.POSTED
    assert derived_state(replay(WON, PARAMETERS).tasks[TASK], 47) is Standing.SETTLEABLE


def test_an_unanswered_demand_burns_the_bonds_and_refunds_everybody_else():
    history = [
        *DEMANDED,
        LeafDemanded(at(45), TASK, 0, CHALLENGER, 65),
        TaskChallenged(at(46), TASK, CHALLENGER, 2_001, 166),
        DemandLapsed(at(66), TASK, 1, RIVAL, 100),
        BondSlashed(at(66), TASK, WORKER, 0, 0, BOND),
        BondSlashed(at(66), TASK, THIRD, 0, 0, BOND),
        ChallengeReturned(at(66), TASK, CHALLENGER, 2_001),
        TaskRefunded(at(66), TASK, 4, ESCROW),
        DemandClosed(at(70), TASK, 0, CHALLENGER, 100),
    ]
    view = balances(history)
    assert view.demands[TASK, 0].state is DemandState.CLOSED
    assert gains(history) == {WORKER: -BOND, THIRD: -BOND}
    assert view.totals.burned_units == 2 * BOND


def test_a_fault_gives_half_of_each_bond_to_the_challenger_and_a_quarter_to_the_arbiter():
    history = [
        *CHALLENGED,
        TaskRuled(at(100), TASK, True),
        BondSlashed(at(100), TASK, WORKER, 1_000, 500, 500),
        BondSlashed(at(100), TASK, THIRD, 1_000, 500, 500),
        ChallengeReturned(at(100), TASK, CHALLENGER, 2_001),
        TaskRefunded(at(100), TASK, 5, ESCROW),
    ]
    assert balances(history).tasks[TASK].faulty is True
    # The third worker is the arbiter as well.
    assert gains(history) == {WORKER: -BOND, THIRD: -BOND + 1_000, CHALLENGER: 2_000}


def test_a_lost_challenge_pays_winners_and_arbiter_and_settles():
    history = [
        *CHALLENGED,
        TaskRuled(at(100), TASK, False),
        ChallengeLost(at(100), TASK, CHALLENGER, 500, 500, 501),
        *PAID,
        TaskSettled(at(100), TASK, NOBODY, 2 * EACH, ESCROW - 2 * EACH),
    ]
    assert balances(history).tasks[TASK].challenge_bond_units == 0
    assert gains(history) == {
        ASKER: -2 * EACH,
        WORKER: EACH + 500,
        THIRD: EACH + 500 + 500,
        CHALLENGER: -2_001,
    }


def test_a_silent_arbiter_costs_the_challenger_nothing():
    history = [
        *CHALLENGED,
        ChallengeReturned(at(166), TASK, CHALLENGER, 2_001),
        *PAID,
        TaskSettled(at(166), TASK, NOBODY, 2 * EACH, ESCROW - 2 * EACH),
    ]
    balances(history)
    assert gains(history) == {ASKER: -2 * EACH, WORKER: EACH, THIRD: EACH}
    task = replay(CHALLENGED, PARAMETERS).tasks[TASK]
    assert [derived_state(task, now) for now in (165, 166)] == [Standing.DISPUTED, Standing.TIMED_OUT]
    assert (task.challenger, task.window_end) == (CHALLENGER, 46)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([*SEATED, TaskClaimed(at(), TASK, CHALLENGER, 80)], id="a fourth seat"),
        pytest.param([*SEATED[:-1], TaskClaimed(at(), TASK, WORKER, 80)], id="two seats of one worker"),
        pytest.param([*SEATED, RevealOpened(at(), TASK, 50)], id="a reveal without a quorum"),
        pytest.param([*COMMITTED, shown(WORKER, RIGHT)], id="a reveal before it is open"),
        pytest.param([*OPENED, shown(CHALLENGER, RIGHT)], id="a reveal without a seat"),
        pytest.param([*OPENED, shown(WORKER, RIGHT, 101)], id="more tokens than allowed"),
        pytest.param([*REVEALED, shown(WORKER, RIGHT)], id="a second reveal"),
        pytest.param([*REVEALED, RoundWon(at(), TASK, WRONG, 1, 99, 46)], id="a minority that wins"),
        pytest.param([*REVEALED, RoundWon(at(), TASK, RIGHT, 3, 50, 46)], id="winners miscounted"),
        pytest.param([*WON, PAID[0], SETTLED[-1]], id="one winner unpaid"),
        pytest.param([*WON, *PAID, PAID[0]], id="a winner paid twice"),
        pytest.param([*WON, SETTLED[-1]], id="winners unpaid"),
        pytest.param([*REVEALED, TaskRefunded(at(), TASK, 3, ESCROW)], id="bonds still locked"),
        pytest.param([*DEMANDED, *PAID, SETTLED[-1]], id="settled with a demand open"),
        pytest.param([*DEMANDED, LeafDemanded(at(), TASK, 1, ASKER, 65)], id="a leaf demanded twice"),
        pytest.param([*WON, LeafDemanded(at(), TASK, 2, ASKER, 65)], id="a leaf beyond the end"),
        pytest.param([*DEMANDED, LeafAnswered(at(), TASK, 1, (1,), 50, 0)], id="a leaf too short"),
        pytest.param([*DEMANDED, LeafAnswered(at(), TASK, 1, (1,) * 18, 49, 2)], id="a fee kept"),
        pytest.param([*DEMANDED, DemandClosed(at(), TASK, 1, RIVAL, 100)], id="closed while live"),
        pytest.param([*WON, BondSlashed(at(), TASK, WORKER, 0, 0, BOND)], id="a bond taken for nothing"),
        pytest.param([*WON, TaskRuled(at(), TASK, True)], id="a ruling without a challenge"),
        pytest.param([*CHALLENGED, *CHALLENGED[-1:]], id="a second challenge"),
        pytest.param(
            [*CHALLENGED, TaskRuled(at(), TASK, True), BondSlashed(at(), TASK, WORKER, 1_001, 500, 499)],
            id="too much for the challenger",
        ),
        pytest.param([*CHALLENGED, TaskRuled(at(), TASK, True), *PAID, SETTLED[-1]], id="paid for a fault"),
        pytest.param([*CHALLENGED, *PAID, SETTLED[-1]], id="the challenger's bond kept"),
        pytest.param([*POSTED, RoundWon(at(), TASK, RIGHT, 1, 50, 46)], id="a round of one"),
    ],
)
def test_a_history_of_rounds_that_the_contract_cannot_make_is_refused(history):
    with pytest.raises(ImpossibleHistory):
        replay(history, PARAMETERS)
