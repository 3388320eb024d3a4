"""What one look at the chain costs a worker, by how many tasks have come and gone: it must not depend on them.

The past is real: every task is submitted, claimed, posted and settled on a node of its own, and followed by a worker's
poller into its database. Then polls are timed, with nothing new and with one new task each, in turns with those of a
worker whose database knows of no past. Ratios are of processor time; time on the wall has the node's share in it.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chain import devnet as devnets
from chain.devnet import dev_account
from chain.follower import Cursor, Follower
from chain.sender import Sender
from protocol.receipt import Receipt
from protocol.request import Request, task_id
from scripts.bench.marketplace import Place, open_place, say
from worker.database import Database
from worker.follow import Poller
from worker.steps import Step
from worker.view import View

_SIZES = (10, 10_000, 100_000)
_TOGETHER, _SUBMIT_TOGETHER = 500, 150
_CHUNK = 1_500
_GAS = 15_000_000
_LEASE_SECS = 600


class Past:
    """Tasks that another worker brings to their end."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._market = place.market
        self.count = 0
        self._salt = 0

    def grow_to(self, count: int, after: Callable[[], object]) -> None:
        """A part at a time, each followed by a call of `after`."""
        while self.count < count:
            self._live(min(_CHUNK, count - self.count))
            after()
            say(f"{self.count} past tasks")

    def submit(self, count: int) -> list[bytes]:
        requests = [self._request() for _ in range(count)]
        calls = []
        for start in range(0, count, _SUBMIT_TOGETHER):
            part = requests[start : start + _SUBMIT_TOGETHER]
            value_units = sum(request.max_fee_units + request.tip_units for request in part)
            calls.append(self._market.submit_many(part, value_units))
        Sender(self._market.rpc, dev_account(1)).send_many(calls, gas_limit=_GAS)
        return [task_id(self._market.domain, request) for request in requests]

    def _live(self, count: int) -> None:
        ids = self.submit(count)
        parts = [ids[start : start + _TOGETHER] for start in range(0, count, _TOGETHER)]
        worker = Sender(self._market.rpc, dev_account(2))
        worker.send_many([self._market.claim_many(part) for part in parts], gas_limit=_GAS)
        posts = [self._market.post_batch([Receipt(one, one, 1) for one in part]) for part in parts]
        worker.send_many(posts, gas_limit=_GAS)
        window_secs = self._market.deployment.parameters.window_secs
        self._market.rpc.call("evm_increaseTime", window_secs + 1)
        self._market.rpc.call("evm_mine")
        worker.send_many([self._market.settle_many(part) for part in parts], gas_limit=_GAS)
        self.count += count

    def _request(self) -> Request:
        self._salt += 1
        return Request(
            requester=dev_account(1).address,
            salt=self._salt.to_bytes(32, "big"),
            model_id=self._place.model,
            input_digest=self._salt.to_bytes(32, "little"),
            params_digest=bytes(32),
            max_fee_units=100,
            flat_percent=10,
            tip_units=1,
            max_output_tokens=100,
            bond_units=1,
            deadline=self._market.rpc.latest().timestamp + 7_200,
            lease_secs=_LEASE_SECS,
            input_uri="",
        )


class Watch:
    """The part of a worker that looks at the chain."""

    def __init__(self, place: Place, name: str, trail: Sequence[Cursor] = ()) -> None:
        deployment = place.devnet.deployment
        self._view = View(dev_account(3).address, deployment.parameters.age_rate_wei)
        self.database = Database(place.home / name)
        if trail:
            with self.database.transaction(Step.FOLLOW):
                self.database.set_cursor(trail[0], trail[1:])
        follower = Follower(place.market.rpc, deployment)
        lock = threading.RLock()
        self._poller = Poller(follower, place.market, self._view, self.database, lock, lambda: None)
        self.cpu_ms: list[float] = []
        self.wall_ms: list[float] = []

    def catch_up(self) -> None:
        self._poller.catch_up()
        # As the worker's housekeeping does once a minute.
        self._view.drop_ended()

    def poll(self) -> None:
        started, cpu_started = time.perf_counter(), time.thread_time()
        self._poller.poll()
        self.cpu_ms.append((time.thread_time() - cpu_started) * 1_000)
        self.wall_ms.append((time.perf_counter() - started) * 1_000)


def compare(place: Place, watch: Watch, polls: int, before: Callable[[], object]) -> dict[str, float]:
    """Medians of one poll, and their ratio to those without a past."""
    watch.catch_up()
    newcomer = Watch(place, f"newcomer-{time.time_ns()}.db", watch.database.trail())
    newcomer.catch_up()
    watch.cpu_ms, watch.wall_ms = [], []
    for number in range(polls):
        before()
        for each in (watch, newcomer) if number % 2 else (newcomer, watch):
            each.poll()
    cpu_ms, without_ms = statistics.median(watch.cpu_ms), statistics.median(newcomer.cpu_ms)
    newcomer.database.close()
    return {
        "ratio": round(cpu_ms / without_ms, 3),
        "cpu_ms": round(cpu_ms, 3),
        "wall_ms": round(statistics.median(watch.wall_ms), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/poll", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="past tasks, growing")
    parser.add_argument("--polls", type=int, default=200, help="polls that each median is of")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        print(json.dumps(_measure(Path(temporary), options.sizes, options.polls)))


def _measure(home: Path, sizes: Sequence[int], polls: int) -> dict[str, object]:
    place = open_place(home, block_millis=None)
    try:
        past, watch = Past(place), Watch(place, "watch.db")
        idle: dict[int, dict[str, float]] = {}
        news: dict[int, dict[str, float]] = {}
        for size in sizes:
            past.grow_to(size, watch.catch_up)
            idle[size] = compare(place, watch, polls, lambda: None)
            news[size] = compare(place, watch, polls, lambda: past.submit(1))
        return {
            "ratio_idle": idle[sizes[-1]]["ratio"],
            "ratio_news": news[sizes[-1]]["ratio"],
            "past_tasks": sizes[-1],
            "idle": idle,
            "news": news,
            "polls": polls,
            "cores": os.cpu_count(),
        }
    finally:
        devnets.down(home)


if __name__ == "__main__":
    main()
