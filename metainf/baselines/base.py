"""What the baselines share that see a table of tasks x alternatives."""

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from metainf.grid import Grid, Scaling
from metainf.problem import Floats, Problem

TREES = 100
SEED = 0


class TableMethod(ABC):
    """Learns scores of all alternatives from a task's features alone."""

    _alternatives: tuple[str, ...]
    _scaling: Scaling

    def fit(self, problem: Problem) -> Self:
        """Learn from the tasks whose costs are known."""
        grid = Grid.of(problem).known()
        self._alternatives = grid.alternatives
        self._scaling = Scaling.of(grid.features)
        self._learn(self._scaling.apply(grid.features), grid)
        return self

    def predict(self, problem: Problem) -> Floats:
        """One score per pair, infinite for an alternative never seen."""
        grid = Grid.of(problem)
        scores = self._score(self._scaling.apply(grid.features))
        row = {task: place for place, task in enumerate(grid.tasks)}
        column = {name: place for place, name in enumerate(self._alternatives)}
        pairs = zip(problem.task_ids, problem.alternatives, strict=True)
        return np.array(
            [scores[row[task], column[name]] if name in column else np.inf for task, name in pairs]
        )

    @abstractmethod
    def _learn(self, features: Floats, grid: Grid) -> None:
        """From t x d scaled features and the grid of the same tasks."""

    @abstractmethod
    def _score(self, features: Floats) -> Floats:
        """t x a scores for other tasks, the lowest best."""
