"""What choosing is worth over a mixed stream of jobs on the real engine, starts counted.

The stream comes in bursts, each of one kind of work: stories, lookups in one table, sums, sampled text. Every job is
run by real vLLM engines under every strategy, the engines taking turns, `--repeats` times with tokens drawn anew, of
which the median counts: an oracle is not to know the noise. Every start is timed. The measured jobs stand for a longer
stream: each for `--times` like it in a row, and all bursts come again in another order for `--rounds`. From these
seconds, all of one run, the total of each way of choosing is added up:

- ours: the shipped selector as the worker uses it, told which engines are up, what starts cost here, what was foregone
  so far, and of at most `--ahead` jobs to come;
- oracle: knows every cost and every start, and plans the whole stream;
- default, sbs: vLLM's default always; the one strategy that is best for this very stream, in hindsight;
- greedy: the same selector, told that starts are free;
- known: the selector's rule, told the true seconds of the job at hand but nothing of those to come.

A worker keeps `--resident` engines up and lets go the one unused for longest. The first start counts for all. Seconds
are processor seconds of the engine's process, as in the tables; the selector's own time is added to ours and to greedy.
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
    Prediction,
    SelectionState,
    Selector,
    Strategy,
    Workload,
    catalogue,
)
from metainf.foregone import foregone_after
from metainf.measure import chat_encoder, cpu_secs
from metainf.residents import kept, least_spent, spent
from metainf.rule import decide
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
class Stream:
    """Measured jobs by their place, in order, with how many jobs of the kind come right after each."""

    places: tuple[int, ...]
    waiting: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)


def streamed(jobs: Sequence[Job], times: int, rounds: int) -> Stream:
    """The bursts as they were measured, then in an order drawn anew for each further round."""
    bursts: list[list[int]] = []
    for place in range(len(jobs)):
        if not bursts or not jobs[place - 1].waiting:
            bursts.append([])
        bursts[-1].append(place)
    rng = random.Random(0)
    places: list[int] = []
    waiting: list[int] = []
    for number in range(rounds):
        for burst in rng.sample(bursts, len(bursts)) if number else bursts:
            expanded = [place for place in burst for _ in range(times)]
            places += expanded
            waiting += range(len(expanded) - 1, -1, -1)
    return Stream(tuple(places), tuple(waiting))


# Predictions for a job, given the state; and the place of the strategy to take.
Decided = tuple[Sequence[Prediction], int]


def followed(
    stream: Stream,
    names: Sequence[str],
    starts: Mapping[str, float],
    room: int,
    ahead: int,
    decide_on: Callable[[int, SelectionState], Decided],
) -> list[int]:
    """The strategies taken along the stream by one who decides job by job, told what the worker is told."""
    up: tuple[int, ...] = ()
    foregone: Mapping[str, float] = {}
    found: list[int] = []
    for place, waiting in zip(stream.places, stream.waiting, strict=True):
        state = SelectionState(
            running=names[up[-1]] if up else None,
            resident=tuple(sorted(names[each] for each in up)),
            queued_jobs=min(waiting, ahead),
            restart_secs=starts,
            foregone_secs=foregone,
        )
        predictions, taken = decide_on(place, state)
        found.append(taken)
        up = kept(up, taken, room)
        leaving = names[up[0]] if len(up) == room else None
        foregone = foregone_after(state, predictions, names[taken], [names[each] for each in up], leaving)
    return found


@dataclass(frozen=True, slots=True)
class Chooser:
    """The shipped selector over the strategies measured here."""

    selector: Selector
    strategies: tuple[Strategy, ...]
    model: ModelFacts
    machine: HardwareFacts

    @property
    def names(self) -> list[str]:
        return [strategy.name for strategy in self.strategies]

    def expected(self, job: Job) -> list[float]:
        """Seconds under each strategy."""
        choice = self.selector.select(
            self.model, self.machine, job.workload, SelectionState(), self.strategies
        )
        secs = {each.strategy: each.total_secs for each in choice.predictions}
        return [secs[name] for name in self.names]

    def taken(
        self, jobs: Sequence[Job], stream: Stream, starts: Mapping[str, float], room: int, ahead: int
    ) -> tuple[list[int], float]:
        """Its choices along the stream, and the seconds it took to make them."""
        names = self.names

        def choose(place: int, state: SelectionState) -> Decided:
            choice = self.selector.select(
                self.model, self.machine, jobs[place].workload, state, self.strategies
            )
            return choice.predictions, names.index(choice.strategy.name)

        began = time.thread_time()
        return followed(stream, names, starts, room, ahead, choose), time.thread_time() - began


def taken_knowing(
    secs: Floats, names: Sequence[str], stream: Stream, starts: Mapping[str, float], room: int, ahead: int
) -> list[int]:
    """What the selector's rule takes where the seconds of the job at hand are foreseen rightly."""

    def choose(place: int, state: SelectionState) -> Decided:
        up = (state.running, *state.resident)
        predictions = [
            Prediction(name, each, 0.0, each, each, 0.0, 0.0 if name in up else starts[name])
            for name, each in zip(names, secs[place].tolist(), strict=True)
        ]
        return predictions, decide(predictions, state, {})[0]

    return followed(stream, names, starts, room, ahead, choose)


def show_foreseen(jobs: Sequence[Job], of: Measured, chooser: Chooser) -> None:
    """Print what each kind of work takes under the strategies, over vLLM's default, and what was expected of it."""
    names = chooser.names
    expected = np.array([chooser.expected(job) for job in jobs])
    default = names.index(DEFAULT_NAME)
    print("over the default, measured / expected: " + ", ".join(names))
    for kind in sorted({job.kind for job in jobs}):
        rows = [place for place, job in enumerate(jobs) if job.kind == kind]
        took, said = of.secs[rows].sum(axis=0), expected[rows].sum(axis=0)
        pairs = zip(took / took[default], said / said[default], strict=True)
        print(
            f"  {kind:20}{took[default] / len(rows):6.3f} s  "
            + "  ".join(f"{t:.2f}/{e:.2f}" for t, e in pairs)
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """How long the stream is, how many engines are up, and how many jobs to come are told of."""

    times: int
    rounds: int
    room: int
    ahead: int


def figures(jobs: Sequence[Job], of: Measured, chooser: Chooser, setting: Setting) -> dict[str, float]:
    """Totals of every way of choosing, and ours over each; what ours costs beyond the oracle, as shares of it."""
    names, room = chooser.names, setting.room
    stream = streamed(jobs, setting.times, setting.rounds)
    secs = of.secs[list(stream.places)]
    starts = {name: round(float(start), 2) for name, start in zip(names, of.starts, strict=True)}
    ours, our_secs = chooser.taken(jobs, stream, starts, room, setting.ahead)
    greedy, greedy_secs = chooser.taken(jobs, stream, dict.fromkeys(names, 0.0), room, setting.ahead)
    known = taken_knowing(of.secs, names, stream, starts, room, setting.ahead)
    # Of equal jobs in a row all are best run alike, so they are planned as one.
    measured_once = list(streamed(jobs, 1, setting.rounds).places)
    oracle = least_spent(setting.times * of.secs[measured_once], of.starts, room)
    single = [spent(secs, of.starts, [place] * len(secs), room) for place in range(len(names))]
    ways = {
        "oracle": oracle,
        "default": single[names.index(DEFAULT_NAME)],
        "sbs": min(single, key=lambda each: each.total_secs),
        "greedy": spent(secs, of.starts, greedy, room),
        "known": spent(secs, of.starts, known, room),
    }
    mine = spent(secs, of.starts, ours, room)
    print(f"{len(stream)} jobs, {room} engines up:")
    for name, way in {"ours": mine, **ways}.items():
        print(f"  {name:8}{way.total_secs:8.1f} s, {way.starts} starts of {way.start_secs:.1f} s among them")
    print("  taken: " + ", ".join(f"{names[each]} {ours.count(each)}" for each in sorted(set(ours))))
    totals = {name: way.total_secs + (greedy_secs if name == "greedy" else 0.0) for name, way in ways.items()}
    total, best = mine.total_secs + our_secs, oracle.total_secs
    return {
        "jobs": len(stream),
        "total_secs": round(total, 2),
        **{f"ratio_{name}": round(total / each, 4) for name, each in totals.items()},
        "oracle_over_sbs": round(best / totals["sbs"], 4),
        "known_over_oracle": round(totals["known"] / best, 4),
        "lost_to_starts": round((mine.start_secs - oracle.start_secs) / best, 4),
        "lost_to_engines_not_up": round((mine.least_run_secs - oracle.run_secs) / best, 4),
        "lost_to_wrong_engine": round((mine.run_secs - mine.least_run_secs) / best, 4),
        "lost_to_choosing": round(our_secs / best, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/switching", description=__doc__)
    parser.add_argument("--jobs", type=int, default=48, help="jobs to measure")
    parser.add_argument("--seed", type=int, default=0, help="of the order of bursts")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each job under each strategy")
    parser.add_argument("--burst", type=int, default=6, help="most jobs of one kind in a row")
    parser.add_argument(
        "--times", type=int, default=10, help="jobs like it in a row that a measured one is for"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, help="how often all bursts come, each time reordered"
    )
    parser.add_argument(
        "--ahead", type=int, default=1, help="jobs to come that the selector is told of, at most"
    )
    parser.add_argument("--resident", type=int, default=3, help="engines kept up, as the worker's default")
    parser.add_argument("--meta-model", type=Path, help="choose with this one instead of the shipped one")
    options = parser.parse_args()
    model, machine = ModelFacts.from_dir(MODEL_DIR), HardwareFacts.detect()
    known = {each.name: each for each in catalogue("cpu", "0.32.0")}
    selector = Selector.load(options.meta_model)
    chooser = Chooser(selector, tuple(known[name] for name in STRATEGIES), model, machine)
    jobs = drawn(options.jobs, options.burst, options.repeats, options.seed)
    found = measured(jobs, chooser.strategies, model, machine)
    show_foreseen(jobs, found, chooser)
    settings = {
        f"times_{times}_rounds_{rounds}_resident_{room}": Setting(times, rounds, room, options.ahead)
        for times, rounds, room in (
            (1, 1, options.resident),
            (options.times, 1, options.resident),
            (options.times, options.rounds, 1),
        )
    }
    others = {name: figures(jobs, found, chooser, setting) for name, setting in settings.items()}
    longest = Setting(options.times, options.rounds, options.resident, options.ahead)
    print(
        json.dumps(
            {
                **figures(jobs, found, chooser, longest),
                "measured_jobs": len(jobs),
                "repeats": options.repeats,
                "resident": options.resident,
                "start_secs": round(float(found.starts.mean()), 2),
                **others,
                "meta_model": selector.meta_model_digest,
                "machine": machine.name,
            }
        )
    )


if __name__ == "__main__":
    main()
