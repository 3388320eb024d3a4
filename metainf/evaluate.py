"""Judging selectors: every method on every split of a table, and what it took for each task."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metainf.baselines.alors import Alors
from metainf.baselines.classifiers import BestLabel, PairwiseForest
from metainf.baselines.fixed import AlwaysDefault, RandomChoice, SingleBest, VirtualBest
from metainf.baselines.isac import Isac
from metainf.baselines.neighbours import NearestNeighbours
from metainf.baselines.regressors import GradientBoosting, RandomForest
from metainf.baselines.rules import ExpertRules, rule_book
from metainf.bounds import Promise, Promises, promised
from metainf.costs import costs
from metainf.ensemble import Ensemble
from metainf.errors import DefaultUnknown, ResearchExtraMissing, TooFewMeasurements
from metainf.generic import read_fold, read_problem
from metainf.judge import Outcome, Score, outcomes, score
from metainf.learner import Learned, LearnedWithMargin
from metainf.method import Method
from metainf.problem import UNSEEN, Floats, Fold, Problem, splits
from metainf.strategy import JsonValue
from metainf.table import is_measurements, read_table
from metainf.train import measured_problem

SELECTOR = "selector"
SBS = "SBS"
VBS = "VBS"
RANDOM_CHOICE = "random"
DEFAULT = "always the default"
GIVEN = "test"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the selector took for one task, with its predicted cost; `measured` is NaN where it is not known."""

    split: str
    task_id: str
    alternative: str
    predicted: float
    measured: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores and outcomes by split, then by method; the selector's choices, and what its bounds kept."""

    scores: Mapping[str, Mapping[str, Score]]
    outcomes: Mapping[str, Mapping[str, tuple[Outcome, ...]]]
    chosen: tuple[Chosen, ...]
    promises: Mapping[str, Promises]

    def to_json(self) -> dict[str, JsonValue]:
        """Plain numbers by split and method, and of the bounds by split."""
        return {
            "scores": {
                split: {name: score.to_json() for name, score in methods.items()}
                for split, methods in self.scores.items()
            },
            "bounds": {split: promises.to_json() for split, promises in self.promises.items()},
        }


def methods_for(problem: Problem) -> dict[str, Callable[[], Method]]:
    """Every method that makes sense for a problem, by name: the selector first, then what it is held against.

    On measured strategies the selector is the learner that ships; on any other table it is the ensemble.
    """
    ships = problem.log_targets.shape[1] > 1
    found: dict[str, Callable[[], Method]] = {SELECTOR: LearnedWithMargin if ships else Ensemble}
    if ships:
        found |= {"selector without margin": Learned, "ensemble": Ensemble}
    found |= {
        SBS: SingleBest,
        VBS: VirtualBest,
        RANDOM_CHOICE: RandomChoice,
        "k nearest neighbours": NearestNeighbours,
        "ISAC": Isac,
        "ALORS": Alors,
        "random forest": RandomForest,
        "gradient boosting": GradientBoosting,
        "best label": BestLabel,
        "pairwise forest": PairwiseForest,
    }
    book = rule_book(problem)
    if book:
        found["expert rules"] = lambda: ExpertRules(book)
    if problem.default is not None:
        found[DEFAULT] = AlwaysDefault
    return found


def read_any(path: Path, default: str | None = None) -> Problem:
    """A table of measurements, or any table of costs as `generic` describes.

    Raises `TableUnreadable`, `DefaultUnknown`.
    """
    if not is_measurements(path):
        return _known_default(read_problem(path, default))
    problem, _ = measured_problem(costs(read_table(path)))
    return problem if default is None else _known_default(replace(problem, default=default))


def _known_default(problem: Problem) -> Problem:
    known = tuple(sorted(set(problem.alternatives)))
    if problem.default is not None and problem.default not in known:
        raise DefaultUnknown(problem.default, known)
    return problem


def evaluate_table(path: Path, test: Path | None = None, default: str | None = None) -> Evaluation:
    """Judge on the splits of one table; or learn from it and predict `test`, whose costs need not be known.

    Raises `TableUnreadable`, `DefaultUnknown`, `TooFewMeasurements`, `ResearchExtraMissing`.
    """
    _require_baselines()
    if test is None:
        return evaluate(read_any(path, default))
    if is_measurements(path) and is_measurements(test):
        learned = read_any(path, default)
        return evaluate_folds({GIVEN: (Fold(learned, read_any(test)),)}, methods_for(learned))
    fold = read_fold(path, test, default)
    _known_default(fold.train)
    return evaluate_folds({GIVEN: (fold,)}, methods_for(fold.train))


def _require_baselines() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ResearchExtraMissing("scikit-learn") from error


def evaluate(problem: Problem) -> Evaluation:
    """Every method on every split of a problem. Raises `TooFewMeasurements` below two contested tasks."""
    contested = problem.contested()
    if len(set(contested.works)) < 2:
        raise TooFewMeasurements("tasks with two alternatives", len(set(contested.works)))
    return evaluate_folds(splits(contested), methods_for(contested))


def evaluate_folds(
    folds_of: Mapping[str, Sequence[Fold]],
    methods: Mapping[str, Callable[[], Method]],
    *,
    bounds: bool = True,
) -> Evaluation:
    """Given methods on given splits; only tasks with two or more known costs are learned from and scored.

    Without `bounds` nothing is said of what is promised, which takes most of the time.
    """
    scores: dict[str, dict[str, Score]] = {}
    taken: dict[str, dict[str, tuple[Outcome, ...]]] = {}
    chosen: list[Chosen] = []
    promises: dict[str, Promises] = {}
    for split, folds in folds_of.items():
        group = split.removeprefix(UNSEEN) if split.startswith(UNSEEN) else None
        runs = {name: [_run(make, fold) for fold in folds] for name, make in methods.items()}
        chosen += [
            row
            for fold, run in zip(folds, runs[SELECTOR], strict=True)
            for row in _chosen(split, fold.test, run.scores)
        ]
        found = {name: tuple(_outcomes_of(folds, of_method, group)) for name, of_method in runs.items()}
        if found[SELECTOR]:
            taken[split] = found
            scores[split] = {
                name: score(found[name], found[SBS], found[SELECTOR], _mean_ms(runs[name])) for name in found
            }
            if bounds:
                promises[split] = Promises.of(_promised(folds, group))
    return Evaluation(scores, taken, tuple(chosen), promises)


@dataclass(frozen=True, slots=True)
class _Run:
    """One method on one fold: its scores, and what a task's decision took."""

    scores: Floats
    ms_per_task: float


def _run(make: Callable[[], Method], fold: Fold) -> _Run:
    method = make().fit(fold.train.contested())
    # The oracle alone is shown the answers.
    asked = fold.test if isinstance(method, VirtualBest) else fold.test.without_costs()
    began = time.perf_counter()
    scores = method.predict(asked)
    return _Run(scores, (time.perf_counter() - began) * 1e3 / max(len(fold.test.tasks), 1))


def _mean_ms(runs: Iterable[_Run]) -> float:
    return float(np.mean([run.ms_per_task for run in runs]))


def _outcomes_of(folds: Sequence[Fold], runs: Sequence[_Run], group: str | None) -> Iterable[Outcome]:
    for fold, run in zip(folds, runs, strict=True):
        judged = fold.test.contested_mask()
        yield from outcomes(fold.test.take(judged), run.scores[judged], group)


def _promised(folds: Sequence[Fold], group: str | None) -> Iterable[Promise]:
    for fold in folds:
        yield from promised(Fold(fold.train.contested(), fold.test.contested()), group)


def _chosen(split: str, test: Problem, scores: Floats) -> Iterable[Chosen]:
    for task_id, indices in test.tasks.items():
        of_task = np.where(np.isnan(scores[indices]), np.inf, scores[indices])
        index = indices[int(of_task.argmin())]
        yield Chosen(
            split=split,
            task_id=task_id,
            alternative=test.alternatives[index],
            predicted=float(np.exp(scores[index])),
            measured=float(test.costs[index]),
        )
