"""Each step of a round of replicas, of a demand and of a dispute has one answer of `decide`."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lifecycle import SeatState, TaskState
from tests.worker.makers import CLOCK, FACTS, ME, NOW, OTHER, POLICY, at_stage, posted, ready, task, view
from worker.actions import Act, Action
from worker.artefacts import Artefact, Call, Input, Stage
from worker.codes import CODES, Reason
from worker.decide import decide
from worker.policy import Clock
from worker.task import OpenDemand, Seat, Task

THIRD = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
CLASS = b"\x44" * 32
OVER = NOW + 3_601
REVEAL_END = NOW + 20
A, B = b"\xaa" * 32, b"\xbb" * 32


def seat(worker: str, state: SeatState, verdict: bytes = b"") -> Seat:
    return Seat(worker, state, NOW + 60, verdict)


def round_of(*seats: Seat, until: int = 0, round_at: int = NOW) -> Task:
    made = task(state=TaskState.LEASED, until=until, replicas=3, equivalence=CLASS)
    made.seats, made.round_at = seats, round_at
    made.mine = any(each.worker == ME for each in seats)
    return made


def only_action(one: Task, artefact: Artefact, clock: Clock = CLOCK) -> Action | None:
    actions = decide(view(one), {one.id: artefact}, clock, POLICY)
    assert len(actions) <= 1
    return actions[0] if actions else None


L, C, R = SeatState.LEASED, SeatState.COMMITTED, SeatState.REVEALED
CELLS = [
    # own seat, the others', end of the reveal, clock, stage, changes -> act, code
    (L, (L, L), 0, NOW, Stage.GENERATED, {}, Act.PERSIST, None),
    (L, (L, L), 0, NOW, Stage.SEALED, {}, Act.COMMIT, "COMMIT-001"),
    (L, (L, L), 0, NOW, Stage.SEALED, {"under_way": Call.COMMIT}, None, None),
    (L, (L, L), 0, NOW, Stage.SEALED, {"retry_at": NOW + 1.0}, None, None),
    (L, (L, L), 0, NOW + 61, Stage.SEALED, {}, Act.COMMIT, "COMMIT-001"),
    (L, (L, L), 0, NOW + 61, Stage.RUNNING, {}, Act.ALERT, "LOST-001"),
    (L, (L, L), 0, OVER, Stage.SEALED, {}, Act.ALERT, "LOST-001"),
    (C, (L, L), 0, NOW, Stage.SEALED, {}, None, None),
    (C, (C, L), 0, OVER - 1, Stage.SEALED, {}, None, None),
    (C, (C, L), 0, OVER, Stage.SEALED, {}, Act.OPEN_REVEAL, "ROUND-001"),
    (C, (C, L), 0, OVER, Stage.SEALED, {"under_way": Call.OPEN_REVEAL}, None, None),
    (C, (L, L), 0, OVER, Stage.SEALED, {}, Act.EXPIRE, "ROUND-006"),
    (C, (C, C), REVEAL_END, NOW, Stage.SEALED, {}, Act.PUBLISH, None),
    (C, (C, C), REVEAL_END, NOW, Stage.STORING, {}, None, None),
    (C, (C, C), REVEAL_END, NOW, Stage.SAVED, {}, Act.REVEAL, "REVEAL-001"),
    (C, (C, C), REVEAL_END, NOW, Stage.SAVED, {"under_way": Call.REVEAL}, None, None),
    (C, (C, C), REVEAL_END, REVEAL_END - 3, Stage.SEALED, {"retry_at": NOW + 9.0}, Act.REVEAL, "REVEAL-001"),
    (C, (C, C), REVEAL_END, REVEAL_END - 3, Stage.STORING, {}, Act.REVEAL, "REVEAL-001"),
    (C, (C, C), REVEAL_END, NOW, Stage.IDLE, {}, Act.ALERT, "LOST-003"),
    (C, (C, C), REVEAL_END, NOW, Stage.IDLE, {"alerted": True}, None, None),
    (C, (C, C), REVEAL_END, REVEAL_END, Stage.SAVED, {}, Act.REVEAL, "REVEAL-001"),
    (C, (C, C), REVEAL_END, REVEAL_END + 1, Stage.SAVED, {}, Act.CLOSE_ROUND, "ROUND-002"),
    (R, (C, R), REVEAL_END, NOW, Stage.SAVED, {}, None, None),
    (R, (C, R), REVEAL_END, REVEAL_END + 1, Stage.SAVED, {}, Act.CLOSE_ROUND, "ROUND-002"),
    (R, (R, R), REVEAL_END, NOW, Stage.SAVED, {}, Act.CLOSE_ROUND, "ROUND-002"),
    (R, (C, R), REVEAL_END, NOW, Stage.SEALED, {}, Act.PUBLISH, None),
    (R, (C, R), REVEAL_END, NOW, Stage.SEALED, {"retry_at": NOW + 1.0}, None, None),
    (R, (C, R), REVEAL_END, NOW, Stage.STORING, {}, None, None),
    (R, (R, R), REVEAL_END, NOW, Stage.SEALED, {}, Act.CLOSE_ROUND, "ROUND-002"),
    (C, (R, R), REVEAL_END, REVEAL_END + 1, Stage.SEALED, {}, Act.CLOSE_ROUND, "ROUND-002"),
    (R, (R, R), REVEAL_END, NOW, Stage.SAVED, {"under_way": Call.CLOSE_ROUND}, None, None),
]


@pytest.mark.parametrize(("own", "others", "until", "at", "stage", "changes", "act", "code"), CELLS)
def test_a_replica_takes_the_one_step_of_its_cell(own, others, until, at, stage, changes, act, code):
    seats = (seat(ME, own), *(seat(who, state) for who, state in zip((OTHER, THIRD), others, strict=True)))
    action = only_action(round_of(*seats, until=until), at_stage(stage, **changes), Clock(at, float(NOW)))
    assert (action.act if action else None) is act
    assert (action.reason.code if action and action.reason else None) == code


def test_where_several_may_make_a_call_each_waits_for_the_one_before_it():
    seats = (seat(OTHER, R), seat(THIRD, R), seat(ME, R))
    closable = round_of(*seats, until=REVEAL_END, round_at=NOW)
    for at, act in ((NOW, None), (NOW + 3, None), (NOW + 4, Act.CLOSE_ROUND)):
        action = only_action(closable, at_stage(Stage.SAVED), Clock(at, float(NOW)))
        assert (action.act if action else None) is act


def test_a_seat_is_claimed_while_one_is_free_or_lapsed_and_none_of_them_is_ones_own():
    free = round_of(seat(OTHER, L), seat(THIRD, C))
    full = round_of(seat(OTHER, C), seat(THIRD, L), seat(THIRD[:-1] + "D", L))
    own = round_of(seat(OTHER, L), seat(ME, C))
    open_reveal = round_of(seat(OTHER, C), seat(THIRD, C), until=REVEAL_END)
    for one, at, claimed in (
        (free, NOW, True),
        (full, NOW + 60, False),
        (full, NOW + 61, True),
        (own, NOW, False),
        (open_reveal, NOW, False),
    ):
        seen = view(one)
        seen.advance(at)
        actions = decide(seen, {one.id: ready(stage=Stage.SEALED)}, Clock(at, float(NOW)), POLICY)
        assert [action.act for action in actions] == ([Act.CLAIM] if claimed else [])


@pytest.mark.parametrize("state", [TaskState.POSTED, TaskState.DISPUTED])
def test_what_was_revealed_while_the_store_was_away_is_stored_while_the_result_may_be_doubted(state):
    won = round_of(seat(ME, R, A), seat(OTHER, R, A), until=NOW + 5)
    won.state = state
    waiting = at_stage(Stage.SEALED)
    assert only_action(won, waiting) == Action(Act.PUBLISH, won.id)
    assert only_action(won, replace(waiting, retry_at=NOW + 1.0)) is None
    assert only_action(won, at_stage(Stage.STORING)) is None
    assert only_action(won, at_stage(Stage.SAVED)) is None
    over = only_action(won, waiting, replace(CLOCK, chain_secs=NOW + 6))
    assert over is not None
    assert over.act is (Act.SETTLE if state is TaskState.POSTED else Act.TIMEOUT)
    won.demands = (OpenDemand(0, NOW + 20),)
    action = only_action(won, waiting)
    assert action is not None
    assert action.act is Act.ANSWER


def answering(*demands: OpenDemand, until: int = NOW + 5) -> Task:
    made = posted(until=until)
    made.demands = demands
    return made


def test_every_leaf_called_for_is_shown_at_once_and_before_anything_else():
    called = answering(OpenDemand(0, NOW + 20), OpenDemand(7, NOW + 20), OpenDemand(9, NOW - 1))
    other = posted(2, until=NOW - 1)
    actions = decide(view(other, called), {called.id: Artefact(answering={0})}, CLOCK, POLICY)
    assert [(action.act, action.leaves) for action in actions] == [(Act.ANSWER, (7,)), (Act.SETTLE, ())]


def test_a_task_with_an_open_demand_is_not_settled_and_an_answer_waits_for_no_other_transaction():
    called = answering(OpenDemand(1, NOW + 20), until=NOW - 1)
    action = only_action(called, Artefact(under_way=Call.SETTLE))
    assert action is not None
    assert action.act is Act.ANSWER
    assert only_action(called, Artefact(answering={1})) is None
    assert only_action(called, Artefact(answer_retry_at=NOW + 1.0)) is None


def test_what_cannot_be_shown_is_said_once():
    gone = Reason("DEMAND-003", "the result is not here")
    called = answering(OpenDemand(1, NOW + 20))
    action = only_action(called, Artefact(unanswerable=gone))
    assert action == Action(Act.ALERT, called.id, gone)
    assert only_action(called, Artefact(unanswerable=gone, alerted=True)) is None


def test_a_dispute_on_which_the_arbiter_is_silent_is_ended():
    disputed = posted(until=NOW)
    disputed.state = TaskState.DISPUTED
    assert only_action(disputed, Artefact()) is None
    over = replace(CLOCK, chain_secs=NOW + 1)
    action = only_action(disputed, Artefact(), over)
    assert action is not None
    assert (action.act, action.reason and action.reason.code) == (Act.TIMEOUT, "DISPUTE-002")
    disputed.demands = (OpenDemand(0, NOW),)
    assert only_action(disputed, Artefact(), over) is None


def test_draining_still_answers_reveals_and_closes():
    called, own = answering(OpenDemand(1, NOW + 20)), round_of(seat(ME, C), seat(OTHER, C), until=REVEAL_END)
    own.id = b"\x05" * 32
    policy = replace(POLICY, draining=True)
    actions = decide(view(called, own), {own.id: at_stage(Stage.SAVED)}, CLOCK, policy)
    assert [action.act for action in actions] == [Act.ANSWER, Act.REVEAL]


def test_every_code_of_a_cell_is_explained():
    assert {cell[-1] for cell in CELLS if cell[-1]} <= CODES.keys()


ARTEFACTS = st.builds(
    Artefact,
    input=st.just(Input.READY),
    facts=st.just(FACTS),
    stage=st.sampled_from(Stage),
    retry_at=st.sampled_from([0.0, NOW + 5.0]),
    under_way=st.sampled_from([None, *Call]),
    answering=st.frozensets(st.integers(0, 3)).map(set),
    unanswerable=st.sampled_from([None, Reason("DEMAND-003", "gone")]),
    alerted=st.booleans(),
    given_up=st.booleans(),
)
DUE = {
    # What must be true of a round, of the own seat and of the clock for a call not to fail.
    Act.COMMIT: lambda one, own, now: not one.until and own is L and now <= one.request.deadline,
    Act.RELEASE: lambda one, own, now: own is L and now <= one.lease_end(ME),
    Act.OPEN_REVEAL: lambda one, own, now: not one.until and one.has_quorum and now > one.request.deadline,
    Act.EXPIRE: lambda one, own, now: not one.until and not one.has_quorum and now > one.request.deadline,
    Act.REVEAL: lambda one, own, now: own is C and now <= one.until,
    Act.CLOSE_ROUND: lambda one, own, now: bool(one.until) and (one.all_revealed or now > one.until),
    Act.SETTLE: lambda one, own, now: one.state is TaskState.POSTED and now > one.until and not one.demands,
    Act.TIMEOUT: lambda one, own, now: (
        one.state is TaskState.DISPUTED and now > one.until and not one.demands
    ),
}


@st.composite
def own_rounds(draw):
    """A round in which this worker has a seat, at any point between the claim and the end."""
    workers = draw(st.permutations([ME, OTHER, THIRD]))[draw(st.integers(0, 2)) :]
    workers = workers if ME in workers else [ME, *workers]
    state = draw(st.sampled_from([TaskState.LEASED, TaskState.LEASED, TaskState.POSTED, TaskState.DISPUTED]))
    doubted = state is not TaskState.LEASED
    revealing = not doubted and draw(st.booleans())
    states = [R] if doubted else [C, R] if revealing else [L, C]
    seats = [seat(who, draw(st.sampled_from(states)), A) for who in workers]
    made = round_of(*seats, until=NOW + draw(st.integers(-40, 40)) if doubted or revealing else 0)
    made.state = state
    if doubted:
        leaves = draw(st.sets(st.integers(0, 3), max_size=2))
        made.demands = tuple(OpenDemand(leaf, NOW + draw(st.integers(-20, 20))) for leaf in sorted(leaves))
    chain = draw(st.sampled_from([NOW - 41, NOW, NOW + 20, NOW + 61, OVER - 1, OVER, OVER + 9]))
    return made, draw(ARTEFACTS), Clock(chain, float(NOW))


@given(own_rounds())
def test_no_call_of_a_round_is_made_twice_or_too_early_or_too_late(situation):
    one, artefact, clock = situation
    action = only_action(one, artefact, clock)
    own = one.seat_of(ME)
    assert own is not None
    if action is None or action.act not in DUE:
        waits = action is None or action.act in {Act.ANSWER, Act.ALERT}
        assert waits or artefact.under_way is None
    else:
        assert artefact.under_way is None
        assert DUE[action.act](one, own.state, clock.chain_secs), action
    if action is not None and action.act is Act.ANSWER:
        until = {demand.leaf: demand.until for demand in one.demands}
        assert not set(action.leaves) & artefact.answering
        assert all(clock.chain_secs <= until[leaf] for leaf in action.leaves)


@given(own_rounds())
def test_once_every_time_is_over_whoever_has_committed_makes_the_call_that_leads_on(situation):
    one, artefact, _ = situation
    later = Clock(OVER + 1_000, NOW + 1_000.0)
    own = one.seat_of(ME)
    assert own is not None
    action = only_action(one, artefact, later)
    if own.state is not L and artefact.under_way is None and not one.demands:
        assert action is not None
        assert action.act in {Act.OPEN_REVEAL, Act.EXPIRE, Act.CLOSE_ROUND, Act.SETTLE, Act.TIMEOUT}
