"""Three workers, all kinds of tasks and all kinds of trouble for a while; then everything must add up.

The seed draws tasks, kills, faults and reorganisations; `scripts/soak` runs it for longer and with other seeds.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from chain.chaos import Chaos, Reorganisation
from chain.rpc import Rpc
from chain.schedule import Fault, Schedule
from chain.sender import Sender
from protocol import lifecycle
from protocol.domain import UNIT_WEI
from protocol.equivalence import EquivalenceClass
from protocol.errors import QuernError
from protocol.lifecycle import TaskState
from protocol.money import escrow_units
from protocol.replay import replay
from protocol.request import Request, task_id
from tests.worker.harness import REQUESTER, MarketPlace, WorkerProcess, chats
from worker.config import WorkerConfig
from worker.database import Database

SECS = float(os.environ.get("QUERN_SOAK_SECS", "60"))
SEED = int(os.environ.get("QUERN_SOAK_SEED", "1"))
RATES = dict.fromkeys(Fault, 0.02)
REORG_SECS, KILL_SECS, ASK_SECS = 6.0, 8.0, 1.0
PATIENCE_SECS = 240.0
FAKES = EquivalenceClass({"engine": "fake"})
# None of these may come about: each is a promise a worker broke, or money that somebody lost.
BROKEN = (
    lifecycle.LeaseLapsed,
    lifecycle.LeaseReleased,
    lifecycle.CommitmentBurned,
    lifecycle.DemandLapsed,
    lifecycle.BondSlashed,
)
BAD: tuple[dict[str, object], ...] = (
    {"model_id": b"\x66" * 32},
    {"params_digest": b"\x55" * 32},
    {"equivalence": b"\x44" * 32},
    {"input_uri": "../../etc/passwd"},
    {"bond_units": 2_000},
    {"max_output_tokens": 1},
    {"max_output_tokens": (1 << 20) + 1},
)


@dataclass
class Requester:
    """Asks through the same bad node; what it is not sure of, it looks up at the end."""

    place: MarketPlace
    sender: Sender
    draw: random.Random
    good: dict[bytes, Request] = field(default_factory=dict)
    bad: dict[bytes, Request] = field(default_factory=dict)
    called_for: set[bytes] = field(default_factory=set)

    def ask(self) -> None:
        prompts = chats(self.draw.randint(1, 4), max_tokens=self.draw.choice((4, 16)))
        changes: dict[str, object] = {"tip_units": self.draw.randrange(200_000, 2_000_000)}
        known, kind = self.good, self.draw.random()
        if kind < 0.25:
            known = self.bad
            changes |= self.draw.choice([{"input_digest": self.draw.randbytes(32)}, *BAD])
        elif kind < 0.4:
            changes |= {"replicas": 3, "equivalence": self.place.put_class(FAKES)}
        elif kind < 0.55:
            changes |= self._elsewhere(self.place.put_input(prompts))
        with self._unsure():
            request = self.place.request(prompts, **changes)
            known[task_id(self.place.market.domain, request)] = request
            self._submit([request])

    def raise_tip(self) -> None:
        """Of something open, which changes everybody's order."""
        one = self.draw.choice([*self.good, b""])
        if one:
            with self._unsure():
                units = self.draw.randrange(1_000, 100_000)
                self.sender.send_and_wait(self.place.market.raise_tip(one, units), timeout_secs=10)

    def call_for_a_leaf(self) -> None:
        """Of some result whose window is open; nothing but luck says whether it is in time."""
        known = [one for one in self.good if one not in self.called_for]
        one = self.draw.choice(known[-12:] or [b""])
        if one and self.place.market.task(one).state is TaskState.POSTED:
            self.called_for.add(one)
            with self._unsure():
                fee_units = self.place.devnet.deployment.parameters.demand_fee_units
                self.sender.send_and_wait(self.place.market.demand(one, 0, fee_units), timeout_secs=10)

    def ask_again(self) -> None:
        """What never came to be, or was orphaned."""
        ids = [*self.good, *self.bad]
        everything = self.good | self.bad
        missing = [
            everything[one] for one, state in zip(ids, self.place.states(ids), strict=True) if not state
        ]
        for request in missing:
            self.place.submit(request)

    def cancel(self, ids: list[bytes]) -> None:
        for one in ids:
            self.place.requester.send_and_wait(self.place.market.cancel(one))

    def _elsewhere(self, digest: bytes) -> dict[str, object]:
        """An input that lies outside the store."""
        folder = self.place.home / "elsewhere"
        folder.mkdir(exist_ok=True)
        (self.place.home / "store" / "inputs" / digest.hex()).rename(folder / digest.hex())
        return {"input_digest": digest, "input_uri": f"{folder.as_uri()}/{digest.hex()}"}

    def _submit(self, requests: list[Request]) -> None:
        cost = sum(escrow_units(each.max_fee_units, each.replicas, each.tip_units) for each in requests)
        self.sender.send_and_wait(self.place.market.submit_many(requests, value_units=cost), timeout_secs=10)

    @contextmanager
    def _unsure(self) -> Iterator[None]:
        """What is sent inside may be on the chain or not."""
        with suppress(QuernError):
            yield


def test_books_are_held_against_the_whole_chain_however_long_it_is(place):
    place.submit(place.request())
    place.rpc.call("hardhat_mine", hex(5_000))
    late = place.submit(place.request())
    told = [event.task_id for event in place.events() if isinstance(event, lifecycle.TaskSubmitted)]
    assert told[-1:] == late


@pytest.mark.slow
@pytest.mark.timeout(SECS + 2 * PATIENCE_SECS)
def test_nothing_is_lost_and_nothing_happens_twice(place, spawn, capsys):
    draw = random.Random(SEED)
    place.rpc.call("evm_setAutomine", False)
    place.rpc.call("evm_setIntervalMining", 100)
    configs = [place.config(), place.hire(3)[0], place.hire(4)[0]]
    done: list[object] = []
    with Chaos(place.devnet.rpc_url, Schedule(SEED, RATES, REORG_SECS), done.append) as chaos:
        configs = [_through(config, chaos.url) for config in configs]
        workers = [spawn(config) for config in configs]
        requester = Requester(place, Sender(Rpc(chaos.url), REQUESTER), draw)
        counted = _trouble(workers, configs, spawn, requester, draw)
        chaos.calm()
        requester.ask_again()
        good, bad = list(requester.good), list(requester.bad)
        assert good
        give_up = time.monotonic() + PATIENCE_SECS
        while (states := Counter(place.states(good))) != {TaskState.SETTLED: len(good)}:
            assert time.monotonic() < give_up, states
            time.sleep(0.1)
        assert set(place.states(bad)) <= {TaskState.OPEN}, "nobody took what cannot be served"
        requester.cancel(bad)
        for config in configs:
            give_up = time.monotonic() + PATIENCE_SECS
            while (books := _books(place, config))[0] != books[1]:
                assert time.monotonic() < give_up, books
                time.sleep(0.1)
        for worker in workers:
            worker.terminate()
        assert [worker.wait() for worker in workers] == [0, 0, 0]
    events = place.events()
    _check_promises(place, events, requester.good)
    _check_books(place, events)
    with capsys.disabled():
        print(f"\nseed {SEED}: {_served(events, requester)}, {_counted(counted, done)}")


def _through(config: WorkerConfig, url: str) -> WorkerConfig:
    chain = config.chain.model_copy(update={"rpc_url": url, "timeout_secs": 10.0})
    # Engines die all the time here, and nothing is given back for it.
    engine = config.engine.model_copy(update={"attempts": 10})
    return config.model_copy(update={"chain": chain, "engine": engine})


def _trouble(
    workers: list[WorkerProcess],
    configs: list[WorkerConfig],
    spawn: Callable[[WorkerConfig], WorkerProcess],
    requester: Requester,
    draw: random.Random,
) -> Counter[str]:
    """For as long as was asked; returns how often what was done."""

    def kill() -> None:
        victim = draw.randrange(len(workers))
        workers[victim].kill()
        workers[victim] = spawn(configs[victim])

    def kill_engine() -> None:
        workers[draw.randrange(len(workers))].kill_engine()

    doings: dict[str, tuple[Callable[[], object], float]] = {
        "requests": (requester.ask, ASK_SECS),
        "raised tips": (requester.raise_tip, 3 * ASK_SECS),
        "demands": (requester.call_for_a_leaf, 2 * ASK_SECS),
        "kills": (kill, KILL_SECS),
        "killed engines": (kill_engine, 2 * KILL_SECS),
    }
    counted: Counter[str] = Counter()
    end = time.monotonic() + SECS
    due = {name: time.monotonic() + secs for name, (_, secs) in doings.items()}
    while (now := time.monotonic()) < end:
        assert not any(worker.ended for worker in workers), "a worker ended by itself"
        for name, (do, secs) in doings.items():
            if now >= due[name]:
                do()
                counted[name] += 1
                due[name] = time.monotonic() + draw.uniform(0.5, 1.5) * secs
        time.sleep(0.05)
    return counted


_Books = tuple[int, int, int]


def _books(place: MarketPlace, config: WorkerConfig) -> tuple[_Books, _Books]:
    """What a worker's books say, and what the chain says of it: tasks settled, units free and locked."""
    database = Database(config.database, read_only=True)
    try:
        address = database.meta("identity_key")
        assert address is not None
        events = place.events()
        claimed = {
            event.task_id
            for event in events
            if isinstance(event, lifecycle.TaskClaimed) and event.worker == address
        }
        ended = {event.task_id for event in events if isinstance(event, lifecycle.TaskSettled)}
        deposited = sum(
            event.amount_units
            for event in events
            if isinstance(event, lifecycle.Deposited) and event.account == address
        )
        account, counts = place.market.account(address), database.counts()
        return (
            (counts["settled"], deposited + counts["earned_units"], 0),
            (len(claimed & ended), account.free_units, account.locked_units),
        )
    finally:
        database.close()


def _check_promises(
    place: MarketPlace, events: tuple[lifecycle.Event, ...], good: dict[bytes, Request]
) -> None:
    """Each task has one result and was paid once; no promise was broken, and every result can be read."""

    def each_once(kind: type, wanted: list[bytes]) -> None:
        found = Counter(event.task_id for event in events if isinstance(event, kind))  # type: ignore[attr-defined]
        assert found == Counter(wanted), kind

    each_once(lifecycle.ResultPosted, [one for one, request in good.items() if request.replicas == 1])
    each_once(lifecycle.RoundWon, [one for one, request in good.items() if request.replicas > 1])
    each_once(lifecycle.TaskSettled, list(good))
    assert [event for event in events if isinstance(event, BROKEN)] == []
    demanded = Counter(event.task_id for event in events if isinstance(event, lifecycle.LeafDemanded))
    answered = Counter(event.task_id for event in events if isinstance(event, lifecycle.LeafAnswered))
    assert demanded == answered, "every demand was answered"
    for one in good:
        assert place.output(one).root() == place.receipt(one).body.output_root


def _check_books(place: MarketPlace, events: tuple[lifecycle.Event, ...]) -> None:
    """To the wei: what the events say, what the market says, and what it holds are the same."""
    told = replay(events, place.devnet.deployment.parameters)
    for holder, account in told.accounts.items():
        held = place.market.account(holder)
        assert (held.free_units, held.locked_units) == (account.free_units, account.locked_units), holder
    assert place.market.burned_units() == told.totals.burned_units
    assert (told.totals.locked_units, told.totals.escrow_units) == (0, 0)
    held_wei = place.rpc.balance_wei(place.market.deployment.market)
    assert held_wei == told.totals.held_units * UNIT_WEI


def _served(events: tuple[lifecycle.Event, ...], requester: Requester) -> str:
    rounds = sum(request.replicas > 1 for request in requester.good.values())
    answers = sum(isinstance(event, lifecycle.LeafAnswered) for event in events)
    return (
        f"{len(requester.good)} served ({rounds} by three workers each, {answers} leaves shown),"
        f" {len(requester.bad)} refused"
    )


def _counted(counted: Counter[str], done: list[object]) -> str:
    reorgs = [each.done for each in done if isinstance(each, Reorganisation) and each.done is not None]
    deepest = max((each.depth for each in reorgs), default=0)
    said = ", ".join(f"{count} {name}" for name, count in counted.items())
    return (
        f"{said}, {len(done) - len(reorgs)} faults, {len(reorgs)} reorganisations of up to {deepest} blocks"
    )
