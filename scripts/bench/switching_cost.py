"""What choosing is worth over a mixed stream of jobs on the real engine, starts counted.

The stream comes in bursts, each of one kind of work: stories, lookups in one table, sums, sampled text. Every job is
run by real vLLM engines under every strategy, the engines taking turns, `--repeats` times with tokens drawn anew, of
which the median counts: an oracle is not to know the noise. Every start is timed. From these seconds, all of one run,
the total of each way of choosing is added up:

- ours: the shipped selector, told which engines are up, how many jobs of the kind wait and what starts cost here;
- oracle: knows every cost and every start, and plans the whole stream;
- default, sbs: vLLM's default always; the one strategy that is best for this very stream, in hindsight;
- greedy: the same selector, told that starts are free.

A worker keeps `--resident` engines up and lets go the one unused for longest. The first start counts for all. Each job
stands for `--times` jobs like it in a row. Seconds are processor seconds of the engine's process, as in the tables; the
selector's own time is added to ours and to greedy.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.base import Completion, EngineConfig, GenerationRequest, Sampling
from engine.child import ChildEngine
from metainf import (
    DEFAULT_NAME,
    HardwareFacts,
    ModelFacts,
    SelectionState,
    Selector,
    Strategy,
    Workload,
    catalogue,
)
from metainf.measure import chat_encoder, cpu_secs
from metainf.residents import best_secs, kept, total_secs
from metainf.workloads import QUESTIONS, SHAPES, Batch

MODEL_DIR = Path(__file__).parents[2] / "models" / "quern-demo"
STRATEGIES = (DEFAULT_NAME, "block-32", "ngram-4", "ngram-8", "ngram-4-block-32", "seqs-8")
KINDS = (
    "one-story",
    "stories",
    "lookups-long-table",
    "sums",
    "sorts",
    "one-long-sampled",
    "medium-sampled",
    "shared-256",
)
START_TIMEOUT_SECS = 300.0
RUN_TIMEOUT_SECS = 120.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Job:
    """One batch, drawn once for each repeat; `waiting` is how many of its kind come right after it."""

    kind: str
    batches: tuple[Batch, ...]
    waiting: int

    @property
    def workload(self) -> Workload:
        batch = self.batches[0]
        greedy = len(batch.prompts) if batch.temperature == 0 else 0
        return Workload.from_token_ids(batch.prompts, batch.max_tokens, greedy=greedy)


def drawn(jobs: int, longest: int, repeats: int) -> list[Job]:
    """Every kind comes in a burst before any comes again; each job, and each repeat of it, has tokens of its own."""
    encode, vocab = chat_encoder(MODEL_DIR), ModelFacts.from_dir(MODEL_DIR).vocab
    draw: dict[str, Callable[[int], Batch]] = {
        each.name: partial(each.draw, encode=encode) for each in QUESTIONS
    }
    draw |= {each.name: partial(each.draw, vocab=vocab) for each in SHAPES}
    rng = random.Random(0)
    found: list[Job] = []
    while len(found) < jobs:
        for kind in rng.sample(KINDS, len(KINDS)):
            count = min(jobs - len(found), rng.randint(max(1, longest // 3), longest))
            for place in range(count):
                batches = tuple(draw[kind](len(found) + jobs * repeat) for repeat in range(repeats))
                found.append(Job(kind, batches, count - place - 1))
    return found


class Engine:
    """One strategy's engine, with what its start cost."""

    def __init__(self, strategy: Strategy, model: ModelFacts, machine: HardwareFacts) -> None:
        arguments = strategy.arguments_for(model.dtype, machine.kv_cache_bytes)
        self._engine = ChildEngine("vllm", EngineConfig(MODEL_DIR, arguments, strategy.environment))
        self._engine.start(START_TIMEOUT_SECS)
        pid = self._engine.pid
        assert pid is not None
        self._pid = pid
        self._serial = 0
        self.run(Batch(((7, 8, 9) * 8,) * 3, (4, 4, 4), 0.0))
        self.start_secs = cpu_secs(self._pid)

    def run(self, batch: Batch) -> float:
        """Processor seconds for a batch."""
        self._serial += 1
        began = cpu_secs(self._pid)
        self._engine.submit(
            [
                GenerationRequest(
                    f"{self._serial}-{place}", prompt, limit, Sampling(batch.temperature, seed=place)
                )
                for place, (prompt, limit) in enumerate(zip(batch.prompts, batch.max_tokens, strict=True))
            ]
        )
        left, until = len(batch.prompts), time.monotonic() + RUN_TIMEOUT_SECS
        while left:
            if time.monotonic() > until:
                raise TimeoutError(f"{left} requests unfinished after {RUN_TIMEOUT_SECS:.0f} s")
            left -= sum(isinstance(event, Completion) for event in self._engine.events(1.0))
        return cpu_secs(self._pid) - began

    def stop(self) -> None:
        self._engine.stop()


@dataclass(frozen=True, slots=True)
class Measured:
    """Jobs x strategies, and a start for each strategy."""

    secs: Floats
    starts: Floats


def measured(
    jobs: Sequence[Job], strategies: Sequence[Strategy], model: ModelFacts, machine: HardwareFacts
) -> Measured:
    """Everything for real. The strategies take turns on each job, beginning with another one each time."""
    engines: list[Engine] = []
    secs = np.zeros((len(jobs), len(strategies)))
    try:
        for strategy in strategies:
            engines.append(Engine(strategy, model, machine))
            print(f"{strategy.name} is up: {engines[-1].start_secs:.1f} s", file=sys.stderr, flush=True)
        for number, job in enumerate(jobs):
            took = np.zeros((len(job.batches), len(engines)))
            for repeat, batch in enumerate(job.batches):
                for place in range(len(engines)):
                    turn = (place + number + repeat) % len(engines)
                    took[repeat, turn] = engines[turn].run(batch)
            secs[number] = np.median(took, axis=0)
            print(
                f"{number + 1}/{len(jobs)} {job.kind}: {np.round(secs[number], 2)}",
                file=sys.stderr,
                flush=True,
            )
    finally:
        for engine in engines:
            engine.stop()
    return Measured(secs, np.array([engine.start_secs for engine in engines]))


@dataclass(frozen=True, slots=True)
class Chooser:
    """The shipped selector over the strategies measured here."""

    selector: Selector
    strategies: tuple[Strategy, ...]
    model: ModelFacts
    machine: HardwareFacts

    def taken(
        self, jobs: Sequence[Job], times: int, starts: Mapping[str, float], room: int
    ) -> tuple[list[int], float]:
        """Its choices along the stream, and the seconds it took to make them."""
        names = [strategy.name for strategy in self.strategies]
        up: tuple[int, ...] = ()
        found: list[int] = []
        began = time.thread_time()
        for job in jobs:
            for place in range(times):
                state = SelectionState(
                    running=names[up[-1]] if up else None,
                    resident=tuple(sorted(names[each] for each in up)),
                    queued_jobs=(job.waiting + 1) * times - place - 1,
                    restart_secs=starts,
                )
                choice = self.selector.select(self.model, self.machine, job.workload, state, self.strategies)
                found.append(names.index(choice.strategy.name))
                up = kept(up, found[-1], room)
        return found, time.thread_time() - began


def figures(jobs: Sequence[Job], of: Measured, chooser: Chooser, times: int, room: int) -> dict[str, float]:
    """Totals of every way of choosing, and ours over each."""
    names = [strategy.name for strategy in chooser.strategies]
    secs = np.repeat(of.secs, times, axis=0)
    starts = {name: round(float(start), 2) for name, start in zip(names, of.starts, strict=True)}
    ours, our_secs = chooser.taken(jobs, times, starts, room)
    greedy, greedy_secs = chooser.taken(jobs, times, dict.fromkeys(names, 0.0), room)
    single = [total_secs(secs, of.starts, [place] * len(secs), room) for place in range(len(names))]
    totals = {
        "oracle": best_secs(secs, of.starts, room),
        "default": single[names.index(DEFAULT_NAME)],
        "sbs": min(single),
        "greedy": total_secs(secs, of.starts, greedy, room) + greedy_secs,
    }
    total = total_secs(secs, of.starts, ours, room) + our_secs
    print(
        f"x{times}, {room} up: ours {total:.1f} s; " + ", ".join(f"{n} {t:.1f} s" for n, t in totals.items())
    )
    print("  taken: " + ", ".join(f"{names[each]} {ours.count(each)}" for each in sorted(set(ours))))
    return {"total_secs": round(total, 2), **{f"ratio_{n}": round(total / t, 4) for n, t in totals.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/switching", description=__doc__)
    parser.add_argument("--jobs", type=int, default=48, help="jobs to measure")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each job under each strategy")
    parser.add_argument("--burst", type=int, default=6, help="most jobs of one kind in a row")
    parser.add_argument(
        "--times", type=int, default=10, help="jobs like it that each measured one stands for"
    )
    parser.add_argument("--resident", type=int, default=3, help="engines kept up, as the worker's default")
    options = parser.parse_args()
    model, machine = ModelFacts.from_dir(MODEL_DIR), HardwareFacts.detect()
    known = {each.name: each for each in catalogue("cpu", "0.32.0")}
    chooser = Chooser(Selector.load(), tuple(known[name] for name in STRATEGIES), model, machine)
    jobs = drawn(options.jobs, options.burst, options.repeats)
    found = measured(jobs, chooser.strategies, model, machine)
    others = {
        f"times_{times}_resident_{room}": figures(jobs, found, chooser, times, room)
        for times, room in ((1, options.resident), (options.times, 1))
    }
    main_figures = figures(jobs, found, chooser, options.times, options.resident)
    print(
        json.dumps(
            {
                **main_figures,
                "jobs": len(jobs) * options.times,
                "repeats": options.repeats,
                "resident": options.resident,
                "start_secs": round(float(found.starts.mean()), 2),
                **others,
                "machine": machine.name,
            }
        )
    )


if __name__ == "__main__":
    main()
