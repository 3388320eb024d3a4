"""A long stream of jobs that were measured, and the ways of choosing along it job by job.

Each way is told what a worker is told: which engines are up, what starts cost, what was foregone so far, and of few of
the jobs to come. The worker's own way learns as the worker does: after each job it is told the seconds of what it took,
and now and then its later choices are corrected by those that have settled.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from metainf import Choice, HardwareFacts, ModelFacts, Prediction, SelectionState, Selector, Strategy
from metainf.corrector import Corrector
from metainf.foregone import foregone_after
from metainf.harvest import Job as Ran
from metainf.harvest import Served, residual
from metainf.online import Residual
from metainf.residents import kept
from metainf.rule import decide
from scripts.bench.switching_jobs import Job, Measured
from worker.learning import correctors
from worker.selection import Chooser


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


@dataclass(frozen=True, slots=True)
class Learning:
    """A worker looks every so many seconds at what has settled; a job has once the market's window is over."""

    every_secs: float
    window_secs: float


@dataclass(frozen=True, slots=True)
class Setting:
    """How often measured jobs come in a row and all bursts in turn, how many engines are up, how many jobs to come are
    told of, and how the worker's way learns.
    """

    times: int
    rounds: int
    room: int
    ahead: int
    learning: Learning


class Way(Protocol):
    """One that chooses along a stream."""

    def take(self, place: int, state: SelectionState) -> tuple[Sequence[Prediction], str]:
        """Predictions for a measured job, and the strategy taken."""

    def told(self, start_secs: float, secs: float) -> None:
        """What the job took, and before it the start, if it needed one."""


def followed(
    of: Measured, stream: Stream, setting: Setting, starts: Mapping[str, float], way: Way
) -> list[int]:
    """The strategies taken along the stream, by place, where starts are said to cost so much."""
    names = of.names
    up: tuple[int, ...] = ()
    foregone: Mapping[str, float] = {}
    found: list[int] = []
    for place, waiting in zip(stream.places, stream.waiting, strict=True):
        state = SelectionState(
            running=names[up[-1]] if up else None,
            resident=tuple(sorted(names[each] for each in up)),
            queued_jobs=min(waiting, setting.ahead),
            restart_secs=starts,
            foregone_secs=foregone,
        )
        predictions, name = way.take(place, state)
        taken = names.index(name)
        found.append(taken)
        way.told(0.0 if taken in up else float(of.starts[taken]), float(of.secs[place, taken]))
        up = kept(up, taken, setting.room)
        leaving = [names[up[0]]] if len(up) == setting.room else []
        foregone = foregone_after(state, predictions, name, [names[each] for each in up], leaving)
    return found


class Knowing:
    """The selector's rule, where the seconds of the job at hand are foreseen rightly."""

    def __init__(self, of: Measured) -> None:
        self._of = of

    def take(self, place: int, state: SelectionState) -> tuple[Sequence[Prediction], str]:
        up = (state.running, *state.resident)
        predictions = [
            Prediction(name, each, 0.0, each, each, 0.0, 0.0 if name in up else state.restart_secs[name])
            for name, each in zip(self._of.names, self._of.secs[place].tolist(), strict=True)
        ]
        return predictions, predictions[decide(predictions, state, {})[0]].strategy

    def told(self, start_secs: float, secs: float) -> None:
        """Nothing that it does not know."""


@dataclass(frozen=True, slots=True)
class Site:
    """A selector, and what it chooses for: a model, and the strategies of a machine."""

    selector: Selector
    model: ModelFacts
    machine: HardwareFacts
    strategies: tuple[Strategy, ...]

    def chooser(self) -> Chooser:
        """The worker's, which has learned nothing yet."""
        return Chooser(self.selector, self.machine, self.strategies, (), {})


class Selecting:
    """The worker's way: its chooser, corrected by its own jobs. Without `learning` it stays as it is."""

    def __init__(self, site: Site, jobs: Sequence[Job], learning: Learning | None) -> None:
        self._model = site.model
        self._chooser = site.chooser()
        self._jobs = jobs
        self._learning = learning
        self._now = 0.0
        self._looks = 0
        self.times_corrected = 0
        self._choice: Choice | None = None
        self._residuals: list[Residual] = []

    @property
    def correctors(self) -> Mapping[str, Corrector]:
        """By model family, what its jobs say by now."""
        return self._chooser.correctors

    def take(self, place: int, state: SelectionState) -> tuple[Sequence[Prediction], str]:
        if self._learning is not None:
            self._look(self._learning)
        choice = self._chooser.choose_for(self._model, self._jobs[place].workload, state)
        self._choice = choice
        return choice.predictions, choice.strategy.name

    def told(self, start_secs: float, secs: float) -> None:
        began = self._now + start_secs
        self._now = began + secs
        if self._learning is not None and self._choice is not None:
            self._residuals.append(residual(_ran(self._choice, began, self._now), self._choice.strategy))

    def _look(self, learning: Learning) -> None:
        """At what had settled when it was last time to."""
        looks = int(self._now / learning.every_secs)
        if looks > self._looks:
            self._looks = looks
            latest = looks * learning.every_secs - learning.window_secs
            settled = [each for each in self._residuals if each.at <= latest]
            if settled:
                self._chooser.correct(correctors(settled))
                self.times_corrected += 1


def _ran(choice: Choice, began: float, ended: float) -> Ran:
    """A job as its receipt has it; all are of one worker and one engine."""
    work = choice.record.workload
    part = Served(
        task_id=b"",
        worker="",
        record=choice.record,
        prompts=work.prompts,
        prompt_tokens=work.prompt_tokens,
        output_tokens=work.output_tokens,
        started_at=began,
        finished_at=ended,
        first_token_secs=None,
        engine={},
        start_secs=0.0,
    )
    return Ran((part,))
