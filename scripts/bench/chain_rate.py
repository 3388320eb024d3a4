"""Tasks a second through one worker with the fake engine: from its start to the last of the submitted tasks settled."""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chain import devnet as devnets
from protocol.batchfile import Prompt
from protocol.lifecycle import TaskState
from protocol.params import GenerationParams
from scripts.bench.marketplace import Place, await_rows, await_settled, open_place, say, start_worker
from worker.config import Batches, Engine, WorkerConfig

_PARAMS = GenerationParams(max_tokens=32)
_TIMEOUT_SECS = 1_200.0
# An engine that costs nothing is kept busy by large batches alone.
_ENGINE = Engine(kind="fake", slots=2_000)
_BATCHES = Batches(tasks=900, prompts=900, secs=3_600.0, fetch_ahead=2_000, post_tasks=900, settle_tasks=800)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/chain", description=__doc__)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--block-millis", type=int, default=0, help="interval of blocks; 0 mines at once")
    parser.add_argument(
        "--open", type=int, default=0, help="further tasks, of a model nobody serves, that stay open"
    )
    parser.add_argument("--keep", type=Path, help="leave the run's files in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        print(json.dumps(_measure(options.keep or Path(temporary), options)))


def _measure(home: Path, options: argparse.Namespace) -> dict[str, object]:
    tasks, block_millis = options.tasks, options.block_millis or None
    place = open_place(home, block_millis)
    try:
        inputs = [[Prompt("q", prompt=f"What is {number} + 1?")] for number in range(tasks)]
        config = place.config().model_copy(update={"engine": _ENGINE, "batches": _BATCHES})
        if options.open:
            _take_in(place, config, options.open)
        say(f"submitting {tasks} tasks")
        ids = place.submit(inputs, _PARAMS, tip_units=200_000)
        say("starting the worker")
        spawned = time.time()
        child = start_worker(config)
        try:
            node_before = _cpu_secs(place.devnet.pid)
            settlements = await_settled(config, tasks, child, _TIMEOUT_SECS)
            cpu_secs = {
                "worker": _cpu_secs(child.pid),
                "engine": sum(map(_cpu_secs, _children(child.pid))),
                "node": _cpu_secs(place.devnet.pid) - node_before,
            }
        finally:
            child.terminate()
            child.wait(60)
        settled = sum(task.state is TaskState.SETTLED for task in place.market.tasks(ids))
        if settled != tasks:
            raise SystemExit(f"the chain has {settled} of {tasks} tasks settled")
        began, assembled, start_cpu_secs = map(float, (config.state_dir / "began").read_text().split())
        cpu_secs["worker"] -= start_cpu_secs
        ended = settlements[-1][0]
        return {
            "tasks_per_s": round(tasks / (ended - began), 1),
            "tasks": tasks,
            "secs": round(ended - began, 2),
            "secs_until_assembled": round(assembled - began, 2),
            "secs_of_imports": round(began - spawned, 2),
            "tasks_per_s_once_assembled": round(tasks / (ended - assembled), 1),
            "tasks_per_s_steady": _steady_rate(settlements, tasks),
            "cpu_ms_per_task": {name: _ms_each(secs, tasks) for name, secs in cpu_secs.items()},
            "stages_ms_per_task": _stages(config.state_dir / "stages.json", start_cpu_secs, tasks),
            "open_besides": options.open,
            "block_millis": block_millis,
            "cores": os.cpu_count(),
        }
    finally:
        devnets.down(home)


def _take_in(place: Place, config: WorkerConfig, count: int) -> None:
    """A first life of the worker sees the tasks that stay open, and declines them: what they cost at first is not
    what they cost from then on.
    """
    place.submit_unserved(count)
    child = start_worker(config)
    try:
        await_rows(config, "SELECT COUNT(*) FROM declined", count)
    finally:
        child.terminate()
        child.wait(60)


def _steady_rate(settlements: Sequence[tuple[float, int]], tasks: int) -> float:
    """While the middle half of the tasks is settled: without the start, and without the last window's wait."""
    first = next(each for each in settlements if each[1] >= tasks / 4)
    last = next(each for each in settlements if each[1] >= tasks * 3 / 4)
    return round((last[1] - first[1]) / (last[0] - first[0]), 1) if last > first else 0.0


def _stages(path: Path, start_cpu_secs: float, tasks: int) -> dict[str, float]:
    """Processor time of the worker's steps; the rest is the scheduler, HTTP, logging and the collector."""
    secs: dict[str, float] = json.loads(path.read_text())
    everything = secs.pop("all") - start_cpu_secs
    ordered = sorted(secs.items(), key=lambda item: -item[1])
    return {
        **{name: _ms_each(spent, tasks) for name, spent in ordered},
        "rest": _ms_each(everything - sum(secs.values()), tasks),
    }


def _ms_each(secs: float, tasks: int) -> float:
    return round(secs / tasks * 1000, 4)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task")
    return [int(child) for thread in path.iterdir() for child in (thread / "children").read_text().split()]


def _cpu_secs(pid: int) -> float:
    """User and system time of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
