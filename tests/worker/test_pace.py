"""How much is taken on, and when a lease is given back because the work will not be done in it."""

from dataclasses import replace

import pytest

from protocol.lifecycle import LeaseReleased, TaskState
from protocol.params import GenerationParams
from tests.worker.engine_room import engine_room, job, served
from tests.worker.harness import DEPOSIT_UNITS, chats, codes, eventually
from tests.worker.makers import CLOCK, FACTS, NOW, POLICY, at_stage, leased, ready, task, view
from worker.actions import Act
from worker.artefacts import Stage
from worker.decide import decide
from worker.jobs import Job
from worker.pace import Open, OutputShare, left_secs
from worker.policy import Clock, Rates
from worker.results import Generated
from worker.waiting import Room, next_group

MODEL = served()
PATIENT = replace(POLICY, give_up_over=1.5)


@pytest.mark.parametrize(
    ("unfinished", "fresh_tokens", "secs", "share", "expected"),
    [
        # Too early, or too few tokens, to tell.
        ([Open(10, 100, 1.0)], 10, 1.0, 1.0, None),
        ([Open(3, 100, 9.0)], 3, 9.0, 1.0, None),
        # Ninety tokens are missing, and ten took five seconds.
        ([Open(10, 100, 5.0)], 10, 5.0, 1.0, 45.0),
        # Half as many are to be expected.
        ([Open(10, 100, 5.0)], 10, 5.0, 0.5, 20.0),
        # Longer than expected already: at least one more.
        ([Open(60, 100, 30.0)], 60, 30.0, 0.5, 0.5),
        # One prompt is far slower than the whole.
        ([Open(10, 100, 10.0)], 990, 10.0, 1.0, 90.0),
        # Prompts that have not begun count at the speed of the whole.
        ([Open(0, 100, 0.0), Open(0, 100, 0.0)], 50, 5.0, 1.0, 20.0),
    ],
)
def test_what_is_left_is_told_from_how_it_goes(unfinished, fresh_tokens, secs, share, expected):
    assert left_secs(unfinished, fresh_tokens, secs, share) == (
        None if expected is None else pytest.approx(expected)
    )


def test_the_share_of_tokens_that_outputs_use_is_learned_and_relearned():
    share = OutputShare()
    assert share.value == 1.0
    for _ in range(500):
        share.add(10, 100)
    assert share.value == pytest.approx(0.1, abs=0.02)
    for _ in range(1000):
        share.add(100, 100)
    assert share.value > 0.9


LATE_CELLS = [
    # stage, seconds left of the lease of 60, seconds of work left -> code
    (Stage.RUNNING, 30, None, None),
    (Stage.RUNNING, 30, 45.0, None),
    (Stage.RUNNING, 30, 45.1, "RELEASE-002"),
    (Stage.RUNNING, 6, 1e6, "RELEASE-002"),
    # Too little of the bond is left to be saved: late is better than never.
    (Stage.RUNNING, 5, 1e6, None),
    (Stage.QUEUED, 30, 45.0, None),
    (Stage.QUEUED, 30, 45.1, "RELEASE-003"),
    (Stage.STORING, 30, 1e6, None),
]


@pytest.mark.parametrize(("stage", "left", "needed", "code"), LATE_CELLS)
def test_a_lease_that_will_not_be_met_is_given_back_while_that_saves_something(stage, left, needed, code):
    one = leased(until=NOW + 60)
    facts = replace(FACTS, alone_secs=needed or 0.0)
    artefacts = {one.id: at_stage(stage, facts=facts, left_secs=needed)}
    clock = Clock(NOW + 60 - left, float(NOW + 60 - left))
    actions = decide(view(one), artefacts, clock, PATIENT)
    assert [(each.act, each.reason.code) for each in actions if each.reason is not None] == (
        [(Act.RELEASE, code)] if code else []
    )
    assert decide(view(one), artefacts, clock, replace(PATIENT, give_up_over=0.0)) == ()


def _claimed(policy, *tasks, facts=FACTS) -> int:
    artefacts = {each.id: ready(facts=facts) for each in tasks}
    return sum(each.act is Act.CLAIM for each in decide(view(*tasks), artefacts, CLOCK, policy))


def test_a_batch_is_what_the_kv_cache_will_likely_hold_and_one_task_at_least():
    """Each has 20 prompt tokens and may write 100."""
    tasks = [task(number) for number in range(1, 5)]
    assert _claimed(replace(POLICY, batch_tokens=10**6), *tasks) == 4
    assert _claimed(replace(POLICY, batch_tokens=360), *tasks) == 3
    assert _claimed(replace(POLICY, batch_tokens=359), *tasks) == 2
    assert _claimed(replace(POLICY, batch_tokens=1), *tasks) == 1
    assert _claimed(replace(POLICY, batch_tokens=180, output_share=0.25), *tasks) == 4


def test_a_batch_is_no_longer_than_its_shortest_lease_has_time_for():
    """A task takes 15 s, and a lease must be 1.5 times the work and 3 s."""
    policy = replace(POLICY, rates=Rates(decode_secs_per_token=0.15))
    long = [task(number, lease_secs=3000) for number in range(2, 5)]
    assert _claimed(policy, task(1, lease_secs=3000, tip_units=90_000), *long) == 4
    assert _claimed(policy, task(1, lease_secs=48, tip_units=90_000), *long) == 2
    assert _claimed(policy, task(1, lease_secs=71, tip_units=90_000), *long) == 3


def _group(jobs: list[Job], inside: int, slots: int, kv_tokens: int) -> int:
    room = Room(inside, slots, lambda each: each.expected_tokens(1.0), lambda _: kv_tokens)
    return len(next_group(jobs, room, lambda each: each.model.id))


@pytest.mark.parametrize(
    ("inside", "slots", "kv_tokens", "expected"),
    [
        (0, 64, 10**6, 5),
        (0, 6, 10**6, 3),
        (2, 6, 10**6, 2),
        (0, 64, 120, 3),
        (0, 64, 119, 2),
        (0, 1, 1, 1),
        (1, 1, 10**6, 0),
        (1, 64, 39, 0),
        (1, 64, 40, 1),
    ],
)
def test_the_engine_gets_what_slots_and_kv_cache_hold_and_a_larger_job_when_it_is_empty(
    inside, slots, kv_tokens, expected
):
    """Jobs of two prompts, 40 tokens each together."""
    jobs = [job(MODEL, number, 2) for number in range(5)]
    assert _group(jobs, inside, slots, kv_tokens) == expected


def test_an_engine_with_a_small_cache_is_given_a_part_at_a_time_and_more_as_outputs_turn_out_short(tmp_path):
    """Its cache holds 2,176 tokens, and each task may have 1,004."""
    params = GenerationParams(max_tokens=1000)
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=300.0, kv_cache_mib=17) as room:
        assert room.host.kv_tokens(MODEL) == 2176
        jobs = [job(MODEL, number, params=params, strategies=("seqs-8",)) for number in range(12)]
        room.host.submit(jobs)
        at_first: set[int] = set()
        later: set[int] = set()

        def through() -> bool:
            room.outcomes |= {each.task_id: each for each in room.host.take()}
            (later if room.outcomes else at_first).add(len(room.host.status().running))
            return len(room.outcomes) == len(jobs)

        eventually(through, "all are through")
        assert all(isinstance(each, Generated) for each in room.outcomes.values())
        assert max(at_first) == 2
        assert max(later) > 2


def test_a_task_far_too_slow_for_its_lease_is_given_back_with_its_reason_and_most_of_the_bond(place, start):
    [slow] = place.submit(place.request(chats(1, max_tokens=400), lease_secs=40))
    config = place.config(fake_tokens_per_sec=1.0)
    start(config)
    eventually(lambda: "RELEASE-002" in codes(config, slow), "it is given back", 30)
    place.await_states([slow], TaskState.OPEN)
    [released] = [event for event in place.events() if isinstance(event, LeaseReleased)]
    assert released.task_id == slow
    bond_units = place.devnet.deployment.parameters.bond_unit_units
    assert released.burned_units < bond_units // 2
    assert place.operator_units() == (DEPOSIT_UNITS - released.burned_units, 0)
