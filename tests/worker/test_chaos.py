"""A worker whose node fails, lies and changes its mind: afterwards work and money are as if it had not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from chain.chaos import Chaos
from chain.schedule import Fault, PlannedReorg, Schedule
from protocol.lifecycle import ResultPosted, TaskState
from protocol.money import charge_units
from tests.worker.harness import DEPOSIT_UNITS, chats, eventually
from worker.database import Database
from worker.report import status

# Marks of blocks are made only where reorganisations are planned, and this one never comes.
_BY_HAND_SECS = 1e9
_REACHES = {TaskState.OPEN: 0, TaskState.LEASED: 1, TaskState.POSTED: 2, TaskState.SETTLED: 3}


@pytest.fixture
def chaos(place) -> Iterator[Callable[..., Chaos]]:
    """Serves the place's node badly; blocks come by themselves, and some are there to orphan."""
    place.rpc.call("evm_setAutomine", False)
    place.rpc.call("evm_setIntervalMining", 50)
    eventually(lambda: place.rpc.block_number() >= 10, "blocks")
    with ExitStack() as stack:
        yield lambda rates=None, seed=1, reorg_secs=_BY_HAND_SECS: stack.enter_context(
            Chaos(place.devnet.rpc_url, Schedule(seed, rates or {}, reorg_secs), lambda _: None)
        )


def through(place, *urls, name="worker", **engine):
    config = place.config(name, **engine)
    return config.model_copy(
        update={"chain": config.chain.model_copy(update={"rpc_url": ",".join(urls), "timeout_secs": 5.0})}
    )


def settle_all(place, requests, ids):
    """Whatever a reorganisation took away of the asking is asked again."""
    lost = [request for request, state in zip(requests, place.states(ids), strict=True) if not state]
    if lost:
        place.submit(*lost)
    place.await_states(ids, TaskState.SETTLED)


def check_books(place, requests, ids):
    tasks = place.market.tasks(ids)
    paid_units = sum(
        request.tip_units
        + charge_units(
            request.max_fee_units, request.flat_percent, task.output_tokens, request.max_output_tokens
        )
        for request, task in zip(requests, tasks, strict=True)
    )
    assert place.operator_units() == (DEPOSIT_UNITS + paid_units, 0)
    assert place.market.burned_units() == 0
    posts = [event.task_id for event in place.events() if isinstance(event, ResultPosted)]
    assert sorted(posts) == sorted(ids)
    for one in ids:
        assert place.output(one).root() == place.receipt(one).body.output_root


@pytest.mark.parametrize(
    ("depth", "lost_share"), [(10, 0.0), (4, 1.0)], ids=["all sent again", "all left out"]
)
@pytest.mark.parametrize("state", _REACHES, ids=lambda state: state.name.lower())
def test_a_reorganisation_at_any_state_costs_nothing(place, start, chaos, state, depth, lost_share):
    server = chaos()
    first_mark = place.rpc.block_number()
    eventually(lambda: place.rpc.block_number() > first_mark + depth, "marked blocks")
    slow = {"fake_tokens_per_sec": 8.0} if state is TaskState.LEASED else {}
    config = through(place, server.url, **slow)
    if state is not TaskState.OPEN:
        start(config)
    requests = [place.request(chats(number)) for number in (1, 2, 3)]
    ids = place.submit(*requests)

    def reached():
        if state is TaskState.SETTLED:
            place.skip_window(ids)
        return min(_REACHES.get(each, 3) for each in place.states(ids)) >= _REACHES[state]

    eventually(reached, state.name)
    done = server.reorganise(PlannedReorg(0, 0.0, depth, lost_share, depth))
    assert done is not None
    assert done.depth >= depth
    if state is TaskState.OPEN:
        start(config)
    settle_all(place, requests, ids)
    eventually(lambda: status(config).settled == len(ids), "the worker knows it")
    check_books(place, requests, ids)


def test_a_worker_goes_on_through_its_second_node_when_the_first_dies(place, start, chaos):
    with Chaos(place.devnet.rpc_url, Schedule(1, {}), lambda _: None) as first:
        config = through(place, first.url, chaos().url)
        start(config)
        early = [place.request()]
        early_ids = place.submit(*early)
        place.await_states(early_ids, TaskState.SETTLED)
        assert first.requests > 0
    late = [place.request()]
    late_ids = place.submit(*late)
    place.await_states(late_ids, TaskState.SETTLED)
    eventually(lambda: status(config).settled == 2, "the worker knows it")
    check_books(place, early + late, early_ids + late_ids)


@pytest.mark.parametrize("fault", Fault)
def test_a_worker_whose_every_third_request_meets_a_fault_serves_all_the_same(place, start, chaos, fault):
    server = chaos({fault: 0.3}, seed=3)
    config = through(place, server.url)
    start(config)
    requests = [place.request(chats(number)) for number in (1, 2, 3)]
    ids = place.submit(*requests)
    place.await_states(ids, TaskState.SETTLED)
    eventually(lambda: status(config).settled == len(ids), "the worker knows it")
    check_books(place, requests, ids)


def test_a_stale_second_node_tells_a_worker_nothing_false(place, start, chaos):
    """The first fails now and then; whenever it does, the second answers, and is always some blocks behind."""
    first, second = chaos({Fault.RESET: 0.4}, seed=2), chaos({Fault.STALE: 1.0})
    config = through(place, first.url, second.url)
    start(config)
    requests = [place.request(chats(number)) for number in (1, 2, 3)]
    ids = place.submit(*requests)
    place.await_states(ids, TaskState.SETTLED)
    eventually(lambda: status(config).settled == len(ids), "the worker knows it")
    check_books(place, requests, ids)
    rows = Database(config.database, read_only=True)
    assert rows._one("SELECT COUNT(*) FROM decision WHERE code GLOB 'LOST-*'", ()) == (0,)
    rows.close()
