"""How long a worker that was killed takes to work again, with thousands of tasks in its database.

It is killed with SIGKILL and started anew at once; meanwhile a task comes that it can serve. It works again when the
signed bytes of that task's claim are durable and go to the node. The engine, which a claim does not wait for, is no
part of it.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from chain import devnet as devnets
from protocol.batchfile import Prompt
from protocol.params import GenerationParams
from scripts.bench.marketplace import Place, await_rows, open_place, say, start_worker
from worker.config import Engine

_PARAMS = GenerationParams(max_tokens=32)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/recover", description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000, help="in the database, declined and still open")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        print(json.dumps(_measure(Path(temporary), options.tasks, options.rounds)))


def _measure(home: Path, tasks: int, rounds: int) -> dict[str, object]:
    place = open_place(home, block_millis=None)
    try:
        place.submit_unserved(tasks)
        config = place.config().model_copy(update={"engine": Engine(kind="fake")})
        child = start_worker(config)
        try:
            await_rows(config, "SELECT COUNT(*) FROM declined", tasks)
            took_secs, imports_secs, assembly_secs = [], [], []
            for number in range(1, rounds + 1):
                killed_at = time.time()
                child.kill()
                child.wait()
                child = start_worker(config)
                _submit(place, number)
                await_rows(config, "SELECT COUNT(*) FROM task WHERE mine", number)
                (claimed_at,) = json.loads((config.state_dir / "signed.json").read_text())["claim"]
                began, assembled, _ = map(float, (config.state_dir / "began").read_text().split())
                took_secs.append(claimed_at - killed_at)
                imports_secs.append(began - killed_at)
                assembly_secs.append(assembled - began)
                say(f"working again after {took_secs[-1]:.2f} s")
        finally:
            child.kill()
            child.wait()
        return {
            "seconds": round(statistics.median(took_secs), 2),
            "seconds_to_imports": round(statistics.median(imports_secs), 2),
            "seconds_to_assemble": round(statistics.median(assembly_secs), 2),
            "tasks": tasks,
            "rounds": rounds,
            "cores": os.cpu_count(),
        }
    finally:
        devnets.down(home)


def _submit(place: Place, number: int) -> None:
    prompts = [[Prompt("q", prompt=f"What is {number} + 1?")]]
    (request,) = place.requests(prompts, _PARAMS, tip_units=200_000, first=number)
    place.submit_at_once(request)


if __name__ == "__main__":
    main()
