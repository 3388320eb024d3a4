"""Whether predicted bounds keep what they promise: how many costs they cover, and how many budgets are missed.

For a split that leaves out members of a group (a model, a machine), the bound is calibrated for new members of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from metainf.learner import BOUND_QUANTILE, Learned, calibrate
from metainf.problem import Fold
from metainf.strategy import JsonValue

# Nominal levels for the picture of the calibration.
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
# Budgets a task is given, as multiples of its best cost.
BUDGETS = (1.1, 1.25, 1.5, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Promise:
    """One task: `covered[i]` of `alternatives` costs lay below the bound of `LEVELS[i]`; of `BUDGETS`, how many were
    promised (some bound met them) and how many of these were missed by what was taken.
    """

    alternatives: int
    covered: tuple[int, ...]
    promised: int
    missed: int


@dataclass(frozen=True, slots=True)
class Promises:
    """Over all tasks of a split: the share of costs below the bound of each level, the share of budgets that were
    promised, and of all budgets given the share that was promised and yet missed.
    """

    levels: tuple[float, ...]
    coverage: tuple[float, ...]
    promised_ratio: float
    missed_ratio: float

    @classmethod
    def of(cls, promises: Iterable[Promise]) -> "Promises":
        """Add up."""
        every = tuple(promises)
        pairs = max(sum(promise.alternatives for promise in every), 1)
        budgets = max(len(every) * len(BUDGETS), 1)
        return cls(
            levels=LEVELS,
            coverage=tuple(
                sum(promise.covered[place] for promise in every) / pairs for place in range(len(LEVELS))
            ),
            promised_ratio=sum(promise.promised for promise in every) / budgets,
            missed_ratio=sum(promise.missed for promise in every) / budgets,
        )

    @property
    def coverage_at_bound(self) -> float:
        """The share covered at the level that selection uses."""
        return self.coverage[self.levels.index(BOUND_QUANTILE)]

    def to_json(self) -> dict[str, JsonValue]:
        """Plain numbers."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def promised(fold: Fold, group: str | None) -> list[Promise]:
    """What bounds calibrated on the training part promised for each test task, and what came of it."""
    calibration = calibrate(fold.train, group)
    bounds_log = [calibration.bound_log(level) for level in LEVELS]
    at_bound = bounds_log[LEVELS.index(BOUND_QUANTILE)]
    predicted = Learned().fit(fold.train).predict(fold.test)
    found = []
    for indices in fold.test.tasks.values():
        costs, expected = fold.test.costs[indices], predicted[indices]
        known = np.isfinite(costs)
        errors = np.log(costs[known]) - expected[known]
        kept = _budgets(costs[known], expected[known], at_bound)
        found.append(
            Promise(
                alternatives=int(known.sum()),
                covered=tuple(int((errors <= bound).sum()) for bound in bounds_log),
                promised=len(kept),
                missed=len(kept) - sum(kept),
            )
        )
    return found


def _budgets(costs: Sequence[float], expected: Sequence[float], bound_log: float) -> list[bool]:
    """For each budget that some bound meets: whether the cheapest of those that meet it kept it.

    Where none does, the safe default runs, and the caller knows that nothing was promised.
    """
    kept = []
    actual, log_bounds = np.asarray(costs), np.asarray(expected) + bound_log
    for factor in BUDGETS:
        budget = factor * float(actual.min())
        fitting = np.flatnonzero(log_bounds <= np.log(budget))
        if len(fitting):
            taken = fitting[int(log_bounds[fitting].argmin())]
            kept.append(bool(actual[taken] <= budget))
    return kept
