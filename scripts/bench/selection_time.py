"""How long one selection takes: 20 candidates, the shipped meta-model, one workload of 32 prompts.

The last line is one JSON object: `corrections_` are of what corrects such a choice by 128 jobs, `facts_` of the
extraction of facts; else `p50_us` and `p99_us` by the clock, `cpu_p50_us` and `cpu_p99_us` by the
thread's processor time (the same on an idle machine), all in microseconds.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from metainf import HardwareFacts, ModelFacts, SelectionState, Selector, Strategy, Workload, catalogue
from metainf.alike import places
from metainf.corrector import REMEMBERED_JOBS, Corrector
from metainf.online import Residual

CANDIDATES = 20
PROMPTS = 32
RUNS = 3_000
WARM_UP = 300
DEMO_MODEL = Path(__file__).parents[2] / "models" / "quern-demo"


def candidates() -> list[Strategy]:
    """The catalogue, filled up to twenty with other batch sizes."""
    known = list(catalogue("cpu", "0.32.0"))
    more = [
        replace(
            strategy,
            name=f"{strategy.name}-seqs-{size}",
            engine_args={**strategy.engine_args, "max_num_seqs": size},
        )
        for size in (16, 32)
        for strategy in known
    ]
    return (known + more)[:CANDIDATES]


def quantiles(values: list[float], name: str) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"{name}p50_us": round(ordered[len(ordered) // 2] * 1e6, 1),
        f"{name}p99_us": round(ordered[len(ordered) * 99 // 100] * 1e6, 1),
    }


def timed(work: Callable[[], object], name: str) -> dict[str, float]:
    for _ in range(WARM_UP):
        work()
    clock, cpu = [], []
    for _ in range(RUNS):
        cpu_began, began = time.thread_time(), time.perf_counter()
        work()
        clock.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - cpu_began)
    return {**quantiles(clock, name), **quantiles(cpu, f"{name}cpu_")}


def main() -> None:
    rng = random.Random(0)
    prefix = [rng.randrange(1000) for _ in range(192)]
    prompts = [tuple(prefix + [rng.randrange(1000) for _ in range(64)]) for _ in range(PROMPTS)]
    limits = [16] * PROMPTS
    model, machine = ModelFacts.from_dir(DEMO_MODEL), HardwareFacts.detect()
    workload = Workload.from_token_ids(prompts, limits)
    selector, state, offered = Selector.load(), SelectionState(queued_jobs=3), candidates()
    chosen = selector.select(model, machine, workload, state, offered)
    where = {each.name: places(model, machine, workload, each) for each in offered}
    ran = [(rng.choice(offered).name, rng.gauss(0, 0.1)) for _ in range(REMEMBERED_JOBS)]
    corrector = Corrector.of(
        Residual("", "", name, "", error, float(at), *where[name]) for at, (name, error) in enumerate(ran)
    )
    settings = {name: of_strategy for name, (_, of_strategy) in where.items()}
    here = where[offered[0].name][0]
    figures = {
        "candidates": len(chosen.predictions),
        **timed(lambda: selector.select(model, machine, workload, state, offered), ""),
        **timed(lambda: corrector.corrections(here, settings), "corrections_"),
        **timed(lambda: Workload.from_token_ids(prompts, limits), "facts_"),
        "machine": machine.name,
    }
    print(f"one of {figures['candidates']} candidates: {chosen.strategy.name}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
