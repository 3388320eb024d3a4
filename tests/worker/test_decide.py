"""Every cell of (chain state x local state x clock) has one answer, and no state makes `decide` do anything twice."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lifecycle import TaskState
from tests.worker.makers import (
    CLOCK,
    FACTS,
    ME,
    NOW,
    OTHER,
    POLICY,
    at_stage,
    leased,
    posted,
    ready,
    task,
    view,
)
from worker.actions import Act, Action
from worker.artefacts import Artefact, Call, Input, Stage
from worker.codes import CODES, Reason
from worker.decide import decide
from worker.policy import Clock, Rates
from worker.task import Task


def acts(actions: tuple[Action, ...]) -> list[tuple[Act, int]]:
    return [(action.act, int.from_bytes(action.task_id, "big")) for action in actions]


def only_action(one: Task, artefact: Artefact | None, clock: Clock = CLOCK) -> Action | None:
    known = {} if artefact is None else {one.id: artefact}
    actions = decide(view(one), known, clock, POLICY)
    assert len(actions) <= 1
    return actions[0] if actions else None


LAPSED, OVER = NOW + 61, NOW + 3601
HELD_CELLS = [
    # stage, clock, artefact changes -> act, code
    (Stage.IDLE, NOW, {"input": Input.UNKNOWN}, Act.FETCH, None),
    (Stage.IDLE, NOW, {"input": Input.FETCHING}, None, None),
    (Stage.IDLE, NOW, {}, Act.RUN, "RUN-001"),
    (Stage.IDLE, NOW, {"retry_at": NOW + 1.0}, None, None),
    (Stage.IDLE, LAPSED, {}, Act.RUN, "RUN-001"),
    (Stage.IDLE, OVER, {}, Act.ALERT, "LOST-001"),
    (Stage.IDLE, OVER, {"alerted": True}, None, None),
    (Stage.IDLE, NOW, {"attempts": 3}, Act.RELEASE, "RELEASE-001"),
    (Stage.IDLE, NOW, {"attempts": 2}, Act.RUN, "RUN-001"),
    (Stage.IDLE, LAPSED, {"attempts": 3}, Act.ALERT, "LOST-001"),
    (Stage.IDLE, NOW, {"input": Input.BAD, "bad": Reason("FETCH-001", "gone")}, Act.RELEASE, "RELEASE-004"),
    (Stage.QUEUED, NOW, {}, None, None),
    (Stage.RUNNING, NOW, {}, None, None),
    (Stage.RUNNING, LAPSED, {}, Act.ALERT, "LOST-001"),
    (Stage.RUNNING, LAPSED, {"alerted": True}, None, None),
    (Stage.GENERATED, NOW, {}, Act.PERSIST, None),
    (Stage.GENERATED, LAPSED, {}, Act.PERSIST, None),
    (Stage.STORING, NOW, {}, None, None),
    (Stage.STORING, LAPSED, {}, Act.ALERT, "LOST-001"),
    (Stage.SAVED, NOW, {}, Act.POST, "POST-001"),
    (Stage.SAVED, LAPSED, {}, Act.POST, "POST-001"),
    (Stage.SAVED, OVER, {}, Act.ALERT, "LOST-001"),
    (Stage.SAVED, NOW, {"given_up": True}, Act.ALERT, "LOST-001"),
    (Stage.SAVED, NOW, {"under_way": Call.POST}, None, None),
    (Stage.IDLE, NOW, {"under_way": Call.RELEASE}, None, None),
]


@pytest.mark.parametrize(("stage", "at", "changes", "act", "code"), HELD_CELLS)
def test_a_leased_task_gets_the_one_action_of_its_cell(stage, at, changes, act, code):
    action = only_action(leased(), at_stage(stage, **changes), Clock(at, float(NOW)))
    assert (action.act if action else None) is act
    assert (action.reason.code if action and action.reason else None) == code


DECLINES = [
    ({"model_id": b"\x99" * 32}, "CLAIM-002"),
    ({"lease_secs": 5}, "CLAIM-003"),
    ({"bond_units": 11}, "CLAIM-004"),
    ({"max_output_tokens": 99}, "CLAIM-005"),
    ({"deadline": NOW + 59}, "CLAIM-006"),
    ({"max_fee_units": 0, "tip_units": 44_999}, "CLAIM-007"),
    ({"max_output_tokens": (1 << 20) + 1}, "CLAIM-011"),
]


@pytest.mark.parametrize(("changes", "code"), DECLINES)
def test_a_task_that_cannot_be_served_is_declined_with_its_code(changes, code):
    facts = replace(FACTS, alone_secs=2.0)
    action = only_action(task(**changes), ready(facts=facts))
    assert action is not None
    assert action.act is Act.DECLINE
    assert action.reason is not None
    assert action.reason.code == code


def test_the_limits_of_declining_are_inclusive():
    facts = replace(FACTS, alone_secs=2.0)
    limits: tuple[dict[str, Any], ...] = (
        {"lease_secs": 6},
        {"bond_units": 10},
        {"max_output_tokens": 100},
        {"deadline": NOW + 60},
        {"max_fee_units": 0, "tip_units": 45_000},
    )
    for changes in limits:
        action = only_action(task(**changes), ready(facts=facts))
        assert action is not None
        assert action.act is Act.CLAIM, changes


def test_a_task_must_pay_what_the_operator_wants_for_the_seconds_it_may_take():
    """At a low output, by the meta-model's bound: 45,000 for gas and two seconds at 10,000."""
    policy, facts = replace(POLICY, units_per_engine_sec=10_000.0), replace(FACTS, alone_secs=2.0)
    for tip_units, act in ((64_999, Act.DECLINE), (65_000, Act.CLAIM)):
        one = task(max_fee_units=0, tip_units=tip_units)
        (action,) = decide(view(one), {one.id: ready(facts=facts)}, CLOCK, policy)
        assert action.act is act
        assert action.reason is not None
        assert action.reason.code == ("CLAIM-007" if act is Act.DECLINE else "CLAIM-020")


def test_a_task_lost_before_is_never_claimed_again():
    lost = task()
    lost.held_before = True
    action = only_action(lost, ready())
    assert action is not None
    assert (action.act, action.reason and action.reason.code) == (Act.DECLINE, "CLAIM-008")


def test_a_bad_input_is_declined_with_the_reason_found_when_it_was_read():
    action = only_action(task(), Artefact(input=Input.BAD, bad=Reason("FETCH-002", "another digest")))
    assert action == Action(Act.DECLINE, task().id, Reason("FETCH-002", "another digest"))


def test_an_input_of_which_nothing_can_be_served_is_declined():
    action = only_action(task(), ready(facts=replace(FACTS, servable_prompts=0)))
    assert action is not None
    assert action.reason is not None
    assert action.reason.code == "CLAIM-010"


def test_inputs_are_fetched_before_anything_is_claimed():
    assert acts(decide(view(task(1), task(2)), {}, CLOCK, POLICY)) == [(Act.FETCH, 1), (Act.FETCH, 2)]


def test_tasks_are_claimed_by_the_published_priority_and_ties_by_the_lower_id():
    low, high, tie = task(1, tip_units=50_000), task(2, tip_units=90_000), task(3, tip_units=50_000)
    artefacts = {item.id: ready() for item in (low, high, tie)}
    assert acts(decide(view(low, tie, high), artefacts, CLOCK, POLICY)) == [
        (Act.CLAIM, 2),
        (Act.CLAIM, 1),
        (Act.CLAIM, 3),
    ]


def test_a_longer_wait_outranks_a_slightly_higher_tip():
    # 100 tokens: a tip of 1 unit is worth 10,000 gwei per million tokens, as many seconds of waiting.
    old, fresh = task(1, tip_units=50_000), task(2, tip_units=50_001)
    old.priced_at = fresh.priced_at - 10_001
    artefacts = {item.id: ready() for item in (old, fresh)}
    assert acts(decide(view(fresh, old), artefacts, CLOCK, POLICY))[0] == (Act.CLAIM, 1)
    old.priced_at = fresh.priced_at - 9_999
    assert acts(decide(view(fresh, old), artefacts, CLOCK, POLICY))[0] == (Act.CLAIM, 2)


def test_one_claim_takes_no_more_than_a_batch():
    tasks = [task(number) for number in range(1, 8)]
    artefacts = {item.id: ready() for item in tasks}
    assert len(decide(view(*tasks), artefacts, CLOCK, POLICY)) == POLICY.batch_tasks


def test_a_batch_is_full_at_its_prompts_but_one_larger_task_may_come_alone():
    big, small = task(1, tip_units=90_000), task(2)
    artefacts = {big.id: ready(facts=replace(FACTS, prompts=500)), small.id: ready()}
    assert acts(decide(view(big, small), artefacts, CLOCK, POLICY)) == [(Act.CLAIM, 1)]


@pytest.mark.parametrize("stage", [Stage.IDLE, Stage.QUEUED])
def test_nothing_is_claimed_while_a_batch_waits_for_the_engine(stage):
    waiting, fresh = leased(1), task(2)
    artefacts = {waiting.id: at_stage(stage), fresh.id: ready()}
    actions = decide(view(waiting, fresh), artefacts, CLOCK, POLICY)
    assert Act.CLAIM not in {action.act for action in actions}


@pytest.mark.parametrize("stage", [Stage.IDLE, Stage.SAVED])
def test_a_lease_that_is_beyond_help_holds_up_nothing(stage):
    hopeless, fresh = leased(1, until=NOW - 1), task(2)
    artefacts = {hopeless.id: at_stage(stage, alerted=True, given_up=True), fresh.id: ready()}
    assert acts(decide(view(hopeless, fresh), artefacts, CLOCK, POLICY)) == [(Act.CLAIM, 2)]


def test_the_next_batch_is_claimed_while_the_engine_works_on_the_last():
    running, fresh = leased(1), task(2)
    artefacts = {running.id: at_stage(Stage.RUNNING), fresh.id: ready()}
    assert acts(decide(view(running, fresh), artefacts, CLOCK, POLICY)) == [(Act.CLAIM, 2)]


def test_a_claim_under_way_counts_as_the_batch_ahead():
    first, second = task(1), task(2)
    artefacts = {first.id: ready(under_way=Call.CLAIM), second.id: ready()}
    assert decide(view(first, second), artefacts, CLOCK, POLICY) == ()


def test_a_higher_tip_that_comes_later_is_claimed_before_those_that_wait():
    running, waiting = leased(1), task(2)
    late = task(3, tip_units=900_000)
    artefacts = {running.id: at_stage(Stage.RUNNING), waiting.id: ready(), late.id: ready()}
    alone = replace(POLICY, batch_tasks=1)
    assert acts(decide(view(running, waiting, late), artefacts, CLOCK, alone)) == [(Act.CLAIM, 3)]


def test_bonds_stay_within_the_free_balance():
    tasks = [task(number) for number in (1, 2, 3)]
    artefacts = {item.id: ready() for item in tasks}
    two_bonds = 2 * POLICY.bond_unit_units
    assert len(decide(view(*tasks, free_units=two_bonds), artefacts, CLOCK, POLICY)) == 2
    assert decide(view(*tasks, free_units=POLICY.bond_unit_units - 1), artefacts, CLOCK, POLICY) == ()


def test_a_bond_beyond_all_means_holds_up_nothing_and_one_within_them_is_waited_for():
    dear, plain = task(1, tip_units=90_000, bond_units=9), task(2)
    artefacts = {item.id: ready() for item in (dear, plain)}
    poor = view(dear, plain, free_units=8 * POLICY.bond_unit_units)
    assert acts(decide(poor, artefacts, CLOCK, POLICY)) == [(Act.CLAIM, 2)]
    poor.locked_units = POLICY.bond_unit_units
    assert decide(poor, artefacts, CLOCK, POLICY) == ()


def test_a_bond_that_only_a_lost_lease_could_free_is_not_waited_for():
    lost, dear, plain = (
        leased(1, until=NOW - 1, bond_units=4),
        task(2, tip_units=90_000, bond_units=9),
        task(3),
    )
    seen = view(lost, dear, plain, free_units=8 * POLICY.bond_unit_units)
    seen.locked_units = 4 * POLICY.bond_unit_units
    artefacts = {dear.id: ready(), plain.id: ready(), lost.id: ready(alerted=True)}
    assert (Act.CLAIM, 3) in acts(decide(seen, artefacts, CLOCK, POLICY))


def test_slow_servers_of_strangers_use_up_nobodys_turn():
    hung = [task(n, tip_units=90_000, input_uri=f"https://example.org/{n}") for n in range(1, 20)]
    plain = task(20)
    fetching = Artefact(input=Input.FETCHING, fetch_started_at=NOW - POLICY.patience_secs)
    artefacts = {item.id: fetching for item in hung}
    assert len(hung) > POLICY.fetch_ahead
    assert acts(decide(view(*hung, plain), artefacts, CLOCK, POLICY)) == [(Act.FETCH, 20)]


def test_inputs_are_fetched_ahead_up_to_a_number_of_prompt_tokens():
    running, tasks = leased(9), [task(number) for number in range(1, 6)]
    large = replace(FACTS, prompt_tokens=POLICY.fetch_ahead_tokens // 2)
    artefacts = {item.id: ready(facts=large) for item in tasks[:3]} | {running.id: at_stage(Stage.QUEUED)}
    assert acts(decide(view(running, *tasks[:2], *tasks[3:]), artefacts, CLOCK, POLICY)) == [
        (Act.FETCH, 4),
        (Act.FETCH, 5),
    ]
    assert decide(view(running, *tasks), artefacts, CLOCK, POLICY) == ()


def test_only_what_can_end_within_its_lease_is_claimed_behind_running_work():
    running, fresh = leased(1), task(2)
    artefacts = {running.id: at_stage(Stage.RUNNING), fresh.id: ready()}
    # 100 output tokens at 0.4 s are 40 s ahead; 40 s x 1.5 + 3 s exceed the lease of 60 s, 37 s would not.
    slow = replace(POLICY, rates=Rates(decode_secs_per_token=0.4))
    assert decide(view(running, fresh), artefacts, CLOCK, slow) == ()
    quicker = replace(POLICY, rates=Rates(decode_secs_per_token=0.37))
    assert acts(decide(view(running, fresh), artefacts, CLOCK, quicker)) == [(Act.CLAIM, 2)]


def test_a_better_task_whose_input_is_being_read_is_not_overtaken_at_once():
    better, worse = task(1, tip_units=900_000), task(2)
    reading = Artefact(input=Input.FETCHING, fetch_started_at=NOW - 0.5)
    artefacts = {better.id: reading, worse.id: ready()}
    assert decide(view(better, worse), artefacts, CLOCK, POLICY) == ()
    later = replace(CLOCK, wall_secs=NOW + 0.6)
    assert acts(decide(view(better, worse), artefacts, later, POLICY)) == [(Act.CLAIM, 2)]


def test_inputs_that_are_read_together_are_claimed_together():
    first, second, running = task(1, tip_units=900_000), task(2), leased(3)
    begun = NOW - POLICY.gather_secs / 2
    artefacts = {
        first.id: ready(fetch_started_at=begun),
        second.id: Artefact(input=Input.FETCHING, fetch_started_at=begun),
        running.id: at_stage(Stage.RUNNING),
    }
    seen = view(first, second, running)
    assert decide(seen, artefacts, CLOCK, POLICY) == ()
    both = artefacts | {second.id: ready(fetch_started_at=begun)}
    assert acts(decide(seen, both, CLOCK, POLICY)) == [(Act.CLAIM, 1), (Act.CLAIM, 2)]
    # However many come after it, nothing waits longer than that.
    later = replace(CLOCK, wall_secs=NOW + POLICY.gather_secs)
    assert acts(decide(seen, artefacts, later, POLICY)) == [(Act.CLAIM, 1)]
    fresh = view(first, second, task(4), running)
    assert acts(decide(fresh, both, CLOCK, POLICY)) == [(Act.FETCH, 4)]
    assert acts(decide(fresh, both, later, POLICY)) == [(Act.CLAIM, 1), (Act.CLAIM, 2), (Act.FETCH, 4)]


def test_a_full_batch_waits_for_nothing():
    first, second = task(1, tip_units=900_000), task(2)
    artefacts = {first.id: ready(fetch_started_at=NOW)}
    alone = replace(POLICY, batch_tasks=1)
    assert acts(decide(view(first, second), artefacts, CLOCK, alone)) == [(Act.CLAIM, 1), (Act.FETCH, 2)]


def test_a_lapsed_lease_of_another_worker_may_be_claimed():
    lapsed = task(1, state=TaskState.LEASED, holder=OTHER, until=NOW - 1)
    running = task(2, state=TaskState.LEASED, holder=OTHER, until=NOW)
    seen = view(lapsed, running)
    seen.advance(NOW)
    assert acts(decide(seen, {lapsed.id: ready(), running.id: ready()}, CLOCK, POLICY)) == [(Act.CLAIM, 1)]


def test_a_posted_task_is_settled_once_its_window_is_over():
    assert only_action(posted(until=NOW), None) is None
    settled = only_action(posted(until=NOW - 1), None)
    assert settled is not None
    assert settled.act is Act.SETTLE
    assert only_action(posted(until=NOW - 1), Artefact(under_way=Call.SETTLE)) is None


def test_draining_finishes_what_is_claimed_and_takes_no_more():
    held, fresh, done = leased(1), task(2), posted(3)
    artefacts = {held.id: at_stage(Stage.SAVED), fresh.id: ready()}
    actions = decide(view(held, fresh, done), artefacts, CLOCK, replace(POLICY, draining=True))
    assert acts(actions) == [(Act.POST, 1), (Act.SETTLE, 3)]


def test_surplus_is_withdrawn_only_where_a_limit_is_set():
    assert decide(view(free_units=10**12), {}, CLOCK, POLICY) == ()
    limited = replace(POLICY, withdraw_above_units=10**11)
    assert decide(view(free_units=10**12), {}, CLOCK, limited)[0].amount_units == 9 * 10**11


def test_every_code_a_decision_gives_is_explained():
    assert {code for _, _, _, _, code in HELD_CELLS if code} <= CODES.keys()
    assert {code for _, code in DECLINES} <= CODES.keys()


ARTEFACTS = st.builds(
    Artefact,
    input=st.sampled_from(Input),
    facts=st.sampled_from([None, FACTS]),
    bad=st.just(Reason("FETCH-001", "gone")),
    fetch_started_at=st.sampled_from([0.0, float(NOW)]),
    retry_at=st.sampled_from([0.0, NOW + 5.0]),
    stage=st.sampled_from(Stage),
    attempts=st.integers(0, 4),
    under_way=st.sampled_from([None, *Call]),
    declined=st.sampled_from([None, Reason("CLAIM-007", "cheap")]),
    given_up=st.booleans(),
    alerted=st.booleans(),
)
STATES = st.sampled_from(
    [(TaskState.OPEN, ""), (TaskState.LEASED, ME), (TaskState.LEASED, OTHER), (TaskState.POSTED, ME)]
)


@st.composite
def situations(draw):
    tasks, artefacts = [], {}
    for number in range(1, draw(st.integers(1, 12)) + 1):
        state, holder = draw(STATES)
        until = NOW + draw(st.integers(-100, 100)) if holder else 0
        one = task(number, state=state, holder=holder, until=until, tip_units=draw(st.integers(0, 200_000)))
        one.held_before = draw(st.booleans())
        tasks.append(one)
        artefact = draw(st.none() | ARTEFACTS)
        if artefact is not None:
            if artefact.input is Input.READY and artefact.facts is None:
                artefact.facts = FACTS
            artefacts[one.id] = artefact
    chain = NOW + draw(st.integers(-50, 4_000))
    seen = view(*tasks, free_units=draw(st.integers(0, 5_000_000)))
    seen.advance(chain)
    return seen, artefacts, Clock(chain, float(NOW)), replace(POLICY, draining=draw(st.booleans()))


@given(situations())
def test_no_task_gets_two_actions_and_nothing_is_sent_twice(situation):
    seen, artefacts, clock, policy = situation
    actions = decide(seen, artefacts, clock, policy)
    ids = [action.task_id for action in actions]
    assert len(ids) == len(set(ids))
    for action in actions:
        artefact = artefacts.get(action.task_id)
        assert artefact is None or artefact.under_way is None
    assert decide(seen, artefacts, clock, policy) == actions


@given(situations())
def test_claims_never_break_a_rule_of_claiming(situation):
    seen, artefacts, clock, policy = situation
    claims = [action for action in decide(seen, artefacts, clock, policy) if action.act is Act.CLAIM]
    assert len(claims) <= policy.batch_tasks
    assert len(claims) * policy.bond_unit_units <= seen.free_units
    for claim in claims:
        one = seen.tasks[claim.task_id]
        assert not policy.draining
        assert not one.held_before
        assert one.state is TaskState.OPEN or (one.holder == OTHER and clock.chain_secs > one.until)
        assert clock.chain_secs + one.request.lease_secs <= one.request.deadline
        assert artefacts[claim.task_id].input is Input.READY
        assert artefacts[claim.task_id].declined is None


@given(situations())
def test_money_at_stake_always_gets_an_action_unless_something_is_under_way_or_waited_for(situation):
    seen, artefacts, clock, policy = situation
    acted = {action.task_id for action in decide(seen, artefacts, clock, policy)}
    for one in seen.held():
        artefact = artefacts.get(one.id, Artefact())
        waits = (
            artefact.under_way is not None
            or artefact.retry_at > clock.wall_secs
            or artefact.stage in {Stage.QUEUED, Stage.RUNNING, Stage.STORING}
            or artefact.input is Input.FETCHING
            or artefact.alerted
        )
        assert waits or one.id in acted
