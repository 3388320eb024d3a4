"""Tasks a second through one worker with the fake engine: from its start to the last of the submitted tasks settled."""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from chain import devnet as devnets
from protocol.batchfile import Prompt
from protocol.lifecycle import TaskState
from protocol.params import GenerationParams
from scripts.bench.marketplace import await_settled, open_place, say, start_worker
from worker.config import Batches, Engine

_PARAMS = GenerationParams(max_tokens=32)
_TIMEOUT_SECS = 1_200.0
_POLL_MS = 20
# An engine that costs nothing is kept busy by large batches alone.
_ENGINE = Engine(kind="fake", slots=1_000)
_BATCHES = Batches(tasks=500, prompts=500, secs=3_600.0, fetch_ahead=2_000, post_tasks=500, settle_tasks=500)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/chain", description=__doc__)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--block-millis", type=int, default=0, help="interval of blocks; 0 mines at once")
    parser.add_argument("--keep", type=Path, help="leave the run's files in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        print(
            json.dumps(_measure(options.keep or Path(temporary), options.tasks, options.block_millis or None))
        )


def _measure(home: Path, tasks: int, block_millis: int | None) -> dict[str, object]:
    place = open_place(home, block_millis)
    try:
        say(f"submitting {tasks} tasks")
        inputs = [[Prompt("q", prompt=f"What is {number} + 1?")] for number in range(tasks)]
        ids = place.submit(inputs, _PARAMS, tip_units=200_000)
        config = place.config().model_copy(update={"engine": _ENGINE, "batches": _BATCHES})
        # A node on the same machine bears being asked often.
        config = config.model_copy(update={"chain": config.chain.model_copy(update={"poll_ms": _POLL_MS})})
        say("starting the worker")
        spawned = time.time()
        child = start_worker(config)
        try:
            node_before = _cpu_secs(place.devnet.pid)
            ended = await_settled(config, tasks, child, _TIMEOUT_SECS)
            cpu = {
                "worker_cpu_secs": _cpu_secs(child.pid),
                "node_cpu_secs": _cpu_secs(place.devnet.pid) - node_before,
            }
        finally:
            child.terminate()
            child.wait(60)
        settled = sum(task.state is TaskState.SETTLED for task in place.market.tasks(ids))
        if settled != tasks:
            raise SystemExit(f"the chain has {settled} of {tasks} tasks settled")
        began, assembled = map(float, (config.state_dir / "began").read_text().split())
        return {
            "tasks_per_s": round(tasks / (ended - began), 1),
            "tasks": tasks,
            "secs": round(ended - began, 2),
            "secs_with_imports": round(ended - spawned, 2),
            "secs_until_assembled": round(assembled - began, 2),
            **{name: round(secs, 2) for name, secs in cpu.items()},
            "block_millis": block_millis,
            "cores": os.cpu_count(),
        }
    finally:
        devnets.down(home)


def _cpu_secs(pid: int) -> float:
    """User and system time of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
