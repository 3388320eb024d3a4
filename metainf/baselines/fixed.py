"""Those that learn no features: the oracle, the single best, always the default, and drawing lots."""

from typing import Self

import numpy as np

from metainf.grid import Grid
from metainf.problem import Floats, Problem


class VirtualBest:
    """VBS, the oracle: the measured costs themselves. The only method that is shown the answers."""

    def fit(self, problem: Problem) -> Self:  # noqa: ARG002  # there is nothing to learn
        """Nothing to learn."""
        return self

    def predict(self, problem: Problem) -> Floats:
        """The judged costs."""
        return problem.judged_costs()


class SingleBest:
    """SBS: the alternative with the least mean log cost relative to its task, over the tasks that offer it."""

    def fit(self, problem: Problem) -> Self:
        """Rank the alternatives."""
        grid = Grid.of(problem).known()
        means = np.nanmean(grid.log_costs, axis=0) if grid.tasks else np.zeros(len(grid.alternatives))
        self._score = dict(zip(grid.alternatives, means.tolist(), strict=True))
        return self

    def predict(self, problem: Problem) -> Floats:
        """The same ranking for every task."""
        return np.array([self._score.get(name, np.inf) for name in problem.alternatives])


class AlwaysDefault:
    """The problem's default wherever a task offers it, else the single best."""

    def fit(self, problem: Problem) -> Self:
        """Rank the alternatives for the tasks without the default."""
        self._otherwise = SingleBest().fit(problem)
        return self

    def predict(self, problem: Problem) -> Floats:
        """The default first."""
        names = np.array(problem.alternatives)
        return np.where(names == problem.default, -np.inf, self._otherwise.predict(problem))


class RandomChoice:
    """All alternatives alike: equal scores are drawn by lot, and judged by expectation."""

    def fit(self, problem: Problem) -> Self:  # noqa: ARG002  # there is nothing to learn
        """Nothing to learn."""
        return self

    def predict(self, problem: Problem) -> Floats:
        """Zeros."""
        return np.zeros(len(problem.task_ids))
