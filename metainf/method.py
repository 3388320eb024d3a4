"""The contract every way of choosing keeps: learn from tasks with costs, then score the pairs of others."""

from typing import Protocol, Self

from metainf.problem import Floats, Problem


class Method(Protocol):
    """A way of choosing among alternatives, as scikit-learn has it: `fit` on one table, `predict` on another."""

    def fit(self, problem: Problem) -> Self:
        """Learn from tasks whose costs are known; returns itself."""
        ...

    def predict(self, problem: Problem) -> Floats:
        """A score for each pair of another problem: within a task the lowest is taken, equal ones by lot.

        Infinite for an alternative that was never seen.
        """
        ...
