"""How long a worker takes from a task's event to its claim, and from its last token to its post.

One task at a time, on a node that mines at once, by a worker with default settings and the fake engine. An event counts
as there when the node has answered the transaction that makes it, a call as sent when its signed bytes are durable and
go to the node, a token as out when the engine's own process says so.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from chain import devnet as devnets
from protocol.batchfile import Prompt
from protocol.lifecycle import TaskState
from protocol.params import GenerationParams
from protocol.receipt import ReceiptDocument
from protocol.request import task_id
from scripts.bench.marketplace import Place, open_place, say, start_worker
from worker.config import Engine
from worker.database import Database

_PARAMS = GenerationParams(max_tokens=32)
_POSTED_SECS = 60.0
_LOOK_SECS = 0.02
_LONGEST_PAUSE_SECS = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/latency", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--poll-ms", type=int, help="in place of the default")
    parser.add_argument("--no-heads", action="store_true", help="look at intervals only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        print(json.dumps(_measure(Path(temporary), options)))


def _measure(home: Path, options: argparse.Namespace) -> dict[str, object]:
    place = open_place(home, block_millis=None)
    try:
        config = place.config().model_copy(update={"engine": Engine(kind="fake")})
        chain = {"heads": not options.no_heads, "poll_ms": options.poll_ms or config.chain.poll_ms}
        config = config.model_copy(update={"chain": config.chain.model_copy(update=chain)})
        child = start_worker(config)
        try:
            # The first starts the engine, and is not counted.
            _live(place, 0)
            there = [_live(place, number) for number in range(1, options.tasks + 1)]
        finally:
            child.terminate()
            child.wait(60)
        sent = json.loads((config.state_dir / "signed.json").read_text())
        claims, posts = sent["claim"][1:], sent["post"][1:]
        if not len(claims) == len(posts) == len(there):
            raise SystemExit(f"{len(there)} tasks had {len(claims)} claims and {len(posts)} posts")
        last_tokens = _last_tokens(config.database)[1:]
        return {
            **_percentiles("event_to_claim", there, claims),
            **_percentiles("token_to_post", last_tokens, posts),
            "tasks": len(there),
            **chain,
            "cores": os.cpu_count(),
        }
    finally:
        devnets.down(home)


def _live(place: Place, number: int) -> float:
    """One task until it is posted; the unix time at which its event was there."""
    # Whoever submits keeps no step with whoever polls.
    time.sleep(random.uniform(0, _LONGEST_PAUSE_SECS))
    prompts = [[Prompt("q", prompt=f"What is {number} + 1?")]]
    (request,) = place.requests(prompts, _PARAMS, tip_units=200_000, first=number)
    there = place.submit_at_once(request)
    one = task_id(place.market.domain, request)
    give_up = time.monotonic() + _POSTED_SECS
    while place.market.tasks([one])[0].state is not TaskState.POSTED:
        if time.monotonic() > give_up:
            raise SystemExit(f"not posted within {_POSTED_SECS:g} s")
        time.sleep(_LOOK_SECS)
    say(f"{number} posted")
    return there


def _last_tokens(path: Path) -> list[float]:
    """Of each task in the order of their runs, in unix seconds, from the timings in the receipts."""
    database = Database(path, read_only=True)
    try:
        results = sorted(database.results(database.known_tasks()).values(), key=lambda one: one.started_ms)
    finally:
        database.close()
    ends = []
    for result in results:
        finished = ReceiptDocument.decode(result.receipt).timings["finished_secs"]
        assert isinstance(finished, list)
        ends.append(result.started_ms / 1_000 + max(finished))
    return ends


def _percentiles(name: str, begun: list[float], ended: list[float]) -> dict[str, float]:
    millis = [(end - begin) * 1_000 for begin, end in zip(begun, ended, strict=True)]
    return {
        f"{name}_p50_ms": round(statistics.median(millis), 1),
        f"{name}_p99_ms": round(statistics.quantiles(millis, n=100, method="inclusive")[98], 1),
    }


if __name__ == "__main__":
    main()
