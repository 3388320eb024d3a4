"""Jobs measured on the real engine: what each of them takes under each strategy, all of one run.

Every job is run by real vLLM engines under every strategy, the engines taking turns, each repeat with tokens drawn
anew; the median counts, for an oracle is not to know the noise. Every start is timed. Seconds are processor seconds of
the engine's process, as in the tables.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from engine.base import Completion, EngineConfig, GenerationRequest, Sampling
from engine.child import ChildEngine
from metainf import HardwareFacts, ModelFacts, Strategy, Workload
from metainf.measure import chat_encoder, cpu_secs
from metainf.residents import Floats
from metainf.workloads import QUESTIONS, SHAPES, Batch

MODEL_DIR = Path(__file__).parents[2] / "models" / "quern-demo"
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


def drawn(jobs: int, longest: int, repeats: int, seed: int) -> list[Job]:
    """Every kind comes in a burst before any comes again; each job, and each repeat of it, has tokens of its own."""
    encode, vocab = chat_encoder(MODEL_DIR), ModelFacts.from_dir(MODEL_DIR).vocab
    draw: dict[str, Callable[[int], Batch]] = {
        each.name: partial(each.draw, encode=encode) for each in QUESTIONS
    }
    draw |= {each.name: partial(each.draw, vocab=vocab) for each in SHAPES}
    rng = random.Random(seed)
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
    """Seconds, jobs x strategies, and those of a start of each strategy."""

    names: tuple[str, ...]
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
    names = tuple(strategy.name for strategy in strategies)
    return Measured(names, secs, np.array([engine.start_secs for engine in engines]))
