"""Judging selectors: regret against the oracle, gap closed against the single best, on random and
unseen-member splits.

Definitions: slowdown is the geometric mean of cost over best cost, over tasks with two or more
alternatives that succeeded; gap closed (log) is 1 - log slowdown / log slowdown of SBS. Choosing an
alternative that failed counts as the dearest one of its task. No restart is counted: every alternative
is as near as any other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metainf.baselines import always_default, single_best, virtual_best
from metainf.costs import costs
from metainf.errors import TooFewMeasurements
from metainf.generic import read_problem
from metainf.learner import learned, learned_with_margin
from metainf.problem import Floats, Fold, Problem, splits
from metainf.strategy import JsonValue
from metainf.table import is_measurements, read_table
from metainf.train import measured_problem

SELECTOR = "selector"
SBS = "SBS"
VBS = "VBS"
RANDOM_CHOICE = "random"
DEFAULT = "vLLM default"
CONFIDENCE = 0.95
_RESAMPLES = 1_000

Method = Callable[[Fold], Floats]


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one split. Regret is cost minus best cost, in the unit of the costs (seconds, here)."""

    tasks: int
    slowdown: float
    slowdown_low: float
    slowdown_high: float
    gap_closed_log: float
    mean_regret: float
    p95_regret: float
    top1_accuracy: float

    def to_json(self) -> dict[str, JsonValue]:
        """Plain numbers."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores by split, then by method; `vbs` and `SBS` frame the others."""

    scores: Mapping[str, Mapping[str, Score]]

    def to_json(self) -> dict[str, JsonValue]:
        """Plain numbers by split and method."""
        return {
            split: {name: score.to_json() for name, score in methods.items()}
            for split, methods in self.scores.items()
        }

    def to_markdown(self) -> str:
        """One table per split."""
        lines = []
        for split, methods in self.scores.items():
            tasks = next(iter(methods.values())).tasks
            lines += [
                f"**{split}** ({tasks} tasks)",
                "",
                "| method | slowdown (95 %) | gap closed (log) | mean regret | p95 regret | best taken |",
                "| --- | --- | --- | --- | --- | --- |",
            ]
            lines += [
                f"| {name} | {s.slowdown:.3f} ({s.slowdown_low:.3f} to {s.slowdown_high:.3f}) "
                f"| {s.gap_closed_log:.2f} | {s.mean_regret:.3f} | {s.p95_regret:.3f} "
                f"| {s.top1_accuracy:.0%} |"
                for name, s in methods.items()
            ]
            lines.append("")
        return "\n".join(lines)


def evaluate_table(path: Path) -> Evaluation:
    """Judge the selector on a table: one of measurements, or any table of costs as `generic` describes.

    Raises `TableUnreadable`, `TooFewMeasurements`.
    """
    if is_measurements(path):
        problem, _ = measured_problem(costs(read_table(path)))
        return evaluate(problem)
    return evaluate(read_problem(path))


def evaluate(problem: Problem) -> Evaluation:
    """Every method on every split of a problem. Raises `TooFewMeasurements` below two contested tasks."""
    contested = problem.contested()
    if len(contested.tasks) < 2:
        raise TooFewMeasurements("tasks with two alternatives", len(contested.tasks))
    methods: dict[str, Method] = {
        SELECTOR: learned_with_margin if problem.default is not None else learned,
        SBS: single_best,
        VBS: virtual_best,
    }
    if problem.default is not None:
        methods |= {"selector without margin": learned, DEFAULT: always_default}
    scores = {}
    for split, folds in splits(contested).items():
        ratios: dict[str, list[_Outcome]] = {name: [] for name in (*methods, RANDOM_CHOICE)}
        for fold in folds:
            for name, method in methods.items():
                ratios[name] += _taken(fold.test, method(fold))
            ratios[RANDOM_CHOICE] += _at_random(fold.test)
        sbs_log = _mean_log_slowdown(ratios[SBS])
        scores[split] = {name: _score(outcomes, sbs_log) for name, outcomes in ratios.items()}
    return Evaluation(scores)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a method got on one task; for a random choice, expectations."""

    log_slowdown: float
    regret: float
    best_taken: float


def _penalised(costs_of_task: Floats) -> Floats:
    return np.where(np.isfinite(costs_of_task), costs_of_task, np.nanmax(costs_of_task))


def _taken(test: Problem, scores: Floats) -> list[_Outcome]:
    """The outcome of taking the lowest score of each task; ties and NaN go to the first, the last by
    name.
    """
    outcomes = []
    for indices in test.tasks.values():
        task_costs = _penalised(test.costs[indices])
        of_task = np.where(np.isnan(scores[indices]), np.inf, scores[indices])
        cost, best = task_costs[int(np.argmin(of_task))], float(task_costs.min())
        outcomes.append(_Outcome(float(np.log(cost / best)), float(cost - best), float(cost == best)))
    return outcomes


def _at_random(test: Problem) -> list[_Outcome]:
    outcomes = []
    for indices in test.tasks.values():
        task_costs = _penalised(test.costs[indices])
        best = task_costs.min()
        outcomes.append(
            _Outcome(
                log_slowdown=float(np.log(task_costs / best).mean()),
                regret=float((task_costs - best).mean()),
                best_taken=float((task_costs == best).mean()),
            )
        )
    return outcomes


def _mean_log_slowdown(outcomes: Sequence[_Outcome]) -> float:
    return float(np.mean([outcome.log_slowdown for outcome in outcomes]))


def _score(outcomes: Sequence[_Outcome], sbs_log: float) -> Score:
    logs = np.array([outcome.log_slowdown for outcome in outcomes])
    regrets = np.array([outcome.regret for outcome in outcomes])
    low, high = _interval(logs)
    return Score(
        tasks=len(outcomes),
        slowdown=float(np.exp(logs.mean())),
        slowdown_low=low,
        slowdown_high=high,
        gap_closed_log=float(1 - logs.mean() / sbs_log) if sbs_log > 0 else 0.0,
        mean_regret=float(regrets.mean()),
        p95_regret=float(np.quantile(regrets, 0.95)),
        top1_accuracy=float(np.mean([outcome.best_taken for outcome in outcomes])),
    )


def _interval(logs: Floats) -> tuple[float, float]:
    """Bootstrap interval of the slowdown, over tasks."""
    rng = np.random.default_rng(0)
    means = logs[rng.integers(0, len(logs), size=(_RESAMPLES, len(logs)))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    return float(np.exp(np.quantile(means, tail))), float(np.exp(np.quantile(means, 1 - tail)))
