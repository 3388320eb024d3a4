"""A problem as the literature on algorithm selection has it: tasks x alternatives, with a row of features per task."""

from dataclasses import dataclass

import numpy as np

from metainf.problem import Floats, Problem


@dataclass(frozen=True)
class Grid:
    """t tasks and a alternatives, each in order of name.

    `features` are t x d, NaN where unknown; `log_costs` t x a are relative to the mean of their task, as
    `Problem.judged_costs` counts them, NaN where a task does not offer the alternative.
    """

    tasks: tuple[str, ...]
    alternatives: tuple[str, ...]
    features: Floats
    log_costs: Floats

    @classmethod
    def of(cls, problem: Problem) -> "Grid":
        """The table of a problem; tasks of which nothing is known have a row of NaN."""
        alternatives = tuple(sorted(set(problem.alternatives)))
        column = {name: place for place, name in enumerate(alternatives)}
        judged = np.log(problem.judged_costs())
        table = np.full((len(problem.tasks), len(alternatives)), np.nan)
        features = np.zeros((len(problem.tasks), len(problem.task_columns)))
        for row, indices in enumerate(problem.tasks.values()):
            features[row] = problem.rows[indices[0], list(problem.task_columns)]
            relative = judged[indices] - _mean_of_known(judged[indices])
            table[row, [column[problem.alternatives[index]] for index in indices]] = relative
        return cls(tuple(problem.tasks), alternatives, features, table)

    def known(self) -> "Grid":
        """Only the tasks whose costs are known."""
        kept = np.flatnonzero(np.isfinite(self.log_costs).any(axis=1))
        tasks = tuple(self.tasks[row] for row in kept)
        return Grid(tasks, self.alternatives, self.features[kept], self.log_costs[kept])

    def filled(self) -> Floats:
        """`log_costs` without gaps: what is missing is the task's level plus the alternative's (two-way means)."""
        known = np.isfinite(self.log_costs)
        level = np.zeros((len(self.tasks), 1))
        typical = np.zeros(len(self.alternatives))
        for _ in range(_ROUNDS):
            typical = _means(self.log_costs - level, known, axis=0)
            level = _means(self.log_costs - typical, known, axis=1)[:, None]
        filled = np.where(known, self.log_costs, level + typical)
        centred: Floats = filled - filled.mean(axis=1, keepdims=True)
        return centred


_ROUNDS = 10


def _mean_of_known(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _means(values: Floats, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], axis: int) -> Floats:
    sums = np.where(known, values, 0.0).sum(axis=axis)
    means: Floats = sums / np.maximum(known.sum(axis=axis), 1)
    return means


@dataclass(frozen=True)
class Scaling:
    """Makes features comparable: gaps become the mean, every column has mean 0 and deviation 1 where it was learned."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, features: Floats) -> "Scaling":
        """Learn from t x d features."""
        known = np.isfinite(features)
        mean = _means(features, known, axis=0)
        variance = _means((features - mean) ** 2, known, axis=0)
        return cls(mean, np.where(variance > 0, np.sqrt(variance), 1.0))

    def apply(self, features: Floats) -> Floats:
        """The t x d features on the learned scale, with a constant column where there are none."""
        scaled: Floats = (np.where(np.isfinite(features), features, self.mean) - self.mean) / self.deviation
        return scaled if scaled.shape[1] else np.zeros((len(scaled), 1))
