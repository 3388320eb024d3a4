"""`decide` played against a whole market, from any state that strangers and faults can bring about."""

import random
from collections import Counter
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.lifecycle import TaskState
from tests.worker.makers import ME, NOW
from tests.worker.strangers import Strangers
from tests.worker.world import World
from worker.actions import Act
from worker.artefacts import Artefact, Call

SEEDS = st.integers(0, 2**32)
ROUGH_STEPS, FAIR_STEPS, QUIET_STEPS = 60, 150, 900
LEAPS = ((0, 1, 1, 2), (0, 1, 1, 1, 2, 5, 30), (0, 1, 1, 5, 30, 100))
CLASS = b"\x44" * 32
KINDS: list[dict[str, object]] = [
    {},
    {"tip_units": 900_000},
    {"lease_secs": 5},
    {"bond_units": 9},
    {"bond_units": 11},
    {"deadline": NOW + 200},
    {"deadline": NOW + 90},
    {"model_id": b"\x99" * 32},
    {"max_output_tokens": 99},
    {"max_fee_units": 0, "tip_units": 0},
]


def submit_some(world: World, number: int) -> None:
    """Half of them to one worker, half to several, whose rounds end soon or late."""
    kind = dict(world.draw.choice(KINDS))
    if world.draw.random() < 0.5:
        left = world.draw.choice((65, 100, 300))
        kind = {"replicas": world.draw.choice((3, 3, 5)), "equivalence": CLASS, "deadline": world.now + left}
    world.submit(number, **kind)


def rough(seed: int, kind: float) -> World:
    """Some time in which much goes wrong. The world itself checks every action against the law."""
    draw = random.Random(seed)
    leaps = draw.choice(LEAPS)
    world = World(draw, kind, leaps=leaps, crashes=0.05, reorganisations=0.1, strangers=Strangers(draw))
    numbers = iter(range(1, 100))
    for _ in range(ROUGH_STEPS):
        if draw.random() < 0.2:
            submit_some(world, next(numbers))
        world.step()
        if draw.random() < 0.5:
            world.lapse_demands()
    return world


@settings(max_examples=300)
@given(SEEDS, st.sampled_from([0.2, 0.5, 0.9]))
def test_nothing_is_done_twice_and_nothing_that_the_market_would_refuse(seed, kind):
    rough(seed, kind)


def has_ended(world: World, one: bytes) -> bool:
    """For this worker: the task is over, or not for it, or beyond help and said to be."""
    task, artefact = world.view.tasks[one], world.artefacts.get(one, Artefact())
    if task.terminal or one in world.disk.declined_by_task:
        return True
    if task.request.bond_units * world.policy.bond_unit_units > world.view.free_units and not task.mine:
        # What would cover it is bonded for leases that lapsed, which with nobody else there nobody takes.
        return True
    if task.held_by(ME):
        return artefact.alerted
    if task.state is TaskState.LEASED and task.replicated:
        return task.seat_of(ME) is None and task.claimable_from(ME) is None
    return task.state in {TaskState.POSTED, TaskState.DISPUTED} and not task.answered_for_by(ME)


def make_kind(world: World) -> None:
    """From now on nothing goes wrong, and nobody else comes."""
    world.kind, world.leaps, world.strangers = 1, (1,), None
    world.crashes = world.reorganisations = 0
    world.past = None


@settings(max_examples=300)
@given(SEEDS, st.sampled_from([0.2, 0.5, 0.9]))
@example(290, 0.9)
def test_once_the_world_is_kind_again_every_task_comes_to_its_end(seed, kind):
    world = rough(seed, kind)
    make_kind(world)
    since, quiet = world.now, 0
    for _ in range(QUIET_STEPS):
        acted = world.step()
        world.lapse_demands()
        ended = all(has_ended(world, one) for one in world.view.tasks)
        quiet = quiet + 1 if ended and not acted and not world.sent else 0
        if quiet == 5:
            break
    left = [one for one in world.view.tasks if not has_ended(world, one)]
    assert not left, [(world.view.tasks[one], world.artefacts.get(one)) for one in left]
    assert quiet == 5, "it comes to rest"
    assert not [task for task in world.missed if task.posted_at >= since], "what was revealed can be found"


@settings(max_examples=100)
@given(SEEDS, st.sampled_from([0.0, 0.1, 1.0]))
def test_a_sound_worker_loses_no_bond_of_a_round_but_by_a_ruling_even_without_a_store(seed, store):
    draw = random.Random(seed)
    world = World(draw, 1, store_kind=store, crashes=0.03, strangers=Strangers(draw))
    numbers = iter(range(1, 1000))
    for _ in range(FAIR_STEPS):
        if draw.random() < 0.1:
            submit_some(world, next(numbers))
        world.step()
        world.lapse_demands()
    assert not world.reached["CommitmentBurned"]
    assert not world.reached["DemandLapsed"]
    since, world.store_kind = world.now, 1
    for _ in range(FAIR_STEPS):
        world.step()
        world.lapse_demands()
    assert not [task for task in world.missed if task.posted_at >= since], "the store is back in time"


@settings(max_examples=100)
@given(SEEDS)
def test_a_draining_worker_ends_what_it_holds_and_takes_no_more(seed):
    world = rough(seed, 0.7)
    make_kind(world)
    world.policy = replace(world.policy, draining=True)
    claims = 0
    for _ in range(QUIET_STEPS):
        claims += sum(action.act is Act.CLAIM for action in world.step())
        world.lapse_demands()
    assert claims == 0
    for task in world.view.tasks.values():
        if task.held_by(ME):
            assert world.artefacts[task.id].alerted, task
        assert not task.in_round(ME), task
        assert not task.answered_for_by(ME), task


def test_such_worlds_reach_every_call_a_worker_can_make():
    reached: Counter[str] = Counter()
    for seed in range(200):
        reached += rough(seed, (0.2, 0.5, 0.9)[seed % 3]).reached
    wanted = {call.value for call in Call} - {Call.WITHDRAW.value, Call.ANNOUNCE.value}
    wanted |= {"crash", "reorganisation", "CommitmentBurned", "LeaseLapsed", "BondSlashed", "RoundWon"}
    assert not {name for name in wanted if reached[name] < 2}, reached
