"""The selector's learner on any problem: CatBoost regressions of log cost over (task, alternative) pairs.

How much a task costs differs between tasks far more than between the alternatives of one, and a regression of cost
spends its trees on that. So the differences within tasks are learned first and by themselves; then all that they leave,
the level of a task above all. A task of one alternative, as a job is, teaches nothing of differences but through that.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from metainf.problem import Floats, Problem
from metainf.robust import deviation

if TYPE_CHECKING:
    from catboost import CatBoost

# Differences below this share are called none, however sure the learner is.
LEAST_MARGIN = 0.05
BOUND_QUANTILE = 0.9
FOLDS = 5
# Members of a group beyond these share a fold.
MOST_GROUP_FOLDS = 8
# A table of more tasks than this is calibrated on this many of its folds.
MANY_TASKS = 300
FEW_FOLDS = 2
# A member of a group with fewer pairs has no quantile of its own.
LEAST_MEMBER_PAIRS = 10

FIXED_PARAMETERS = {
    "random_seed": 0,
    "thread_count": 1,
    "verbose": False,
    "allow_writing_files": False,
    # Where all cost the same there is something to learn all the same: that.
    "allow_const_label": True,
}
_DIFFERENCES = {
    "loss_function": "RMSE",
    "iterations": 500,
    "depth": 4,
    "learning_rate": 0.06,
    "l2_leaf_reg": 3.0,
}
_LEVELS = {**_DIFFERENCES, "loss_function": "MultiRMSE", "iterations": 300}


@dataclass(frozen=True, slots=True)
class Regression:
    """Predicts k log targets of a pair, less what is known beforehand: those of `levels`, and to the last of them, the
    cost, `differences` within its task are added.
    """

    levels: "CatBoost"
    differences: "CatBoost"

    def predict(self, rows: npt.NDArray[np.float32]) -> Floats:
        """n x k for n rows of features."""
        predicted = np.asarray(self.levels.predict(rows, thread_count=1), dtype=np.float64)
        predicted = predicted.reshape(len(rows), -1)
        predicted[:, -1] += self.differences.predict(rows, thread_count=1)
        return predicted


def fit(problem: Problem) -> Regression:
    """Learn the log targets, less what is known beforehand, of the pairs that succeeded. Same data,
    same trees.
    """
    from catboost import CatBoost

    good = problem.take(np.isfinite(problem.costs))
    targets = good.log_targets - good.offset_log[:, None]
    differences = CatBoost({**_DIFFERENCES, **FIXED_PARAMETERS})
    differences.fit(good.rows, _within_tasks(good, targets[:, -1]))
    targets[:, -1] -= differences.predict(good.rows, thread_count=1)
    levels = CatBoost({**_LEVELS, **FIXED_PARAMETERS})
    levels.fit(good.rows, targets)
    return Regression(levels, differences)


def _within_tasks(problem: Problem, values: Floats) -> Floats:
    """By how much each pair's value is above the mean of its task."""
    found = np.empty_like(values)
    for indices in problem.tasks.values():
        found[indices] = values[indices] - values[indices].mean()
    return found


def predict_log_costs(regression: Regression, problem: Problem) -> Floats:
    """Predicted log cost of each pair."""
    return regression.predict(problem.rows)[:, -1] + problem.offset_log


def held_out_residuals(problem: Problem, group: str | None = None) -> Floats:
    """log(actual / predicted) of pairs that succeeded, by models that never saw their task; NaN for the
    others.

    With a `group` of two or more members, by models that never saw the task's member of it.
    """
    folds = _folds(problem, group)
    residuals = np.full(len(folds), np.nan)
    # Of many tasks a few folds tell enough.
    tried = np.unique(folds) if len(problem.tasks) <= MANY_TASKS else np.unique(folds)[:FEW_FOLDS]
    for fold in tried:
        held_out = (folds == fold) & np.isfinite(problem.costs)
        if held_out.any():
            regression = fit(problem.take(folds != fold))
            test = problem.take(held_out)
            residuals[held_out] = np.log(test.costs) - predict_log_costs(regression, test)
    return residuals


@dataclass(frozen=True, slots=True)
class Calibration:
    """Held-out residuals to take bounds from: of tasks left out, and for each member of a group, of that member left
    out.
    """

    of_tasks: Floats
    of_members: tuple[Floats, ...] = ()

    def bound_log(self, quantile: float = BOUND_QUANTILE) -> float:
        """What to add to a predicted log cost so that this share of costs lies below.

        Tasks of one member err together, and those of a new one by more than tasks of members that were met. So of the
        members left out each counts the same, however many its tasks: the share holds on average over members, and a
        single one may be further off.
        """
        of_tasks = conformal_bound(self.of_tasks, quantile)
        return max(of_tasks, balanced_bound(self.of_members, quantile)) if self.of_members else of_tasks


def calibrate(problem: Problem, group: str | None) -> Calibration:
    """For tasks whose member of a group, if one is named, may be new."""
    of_members = () if group is None else member_residuals(problem, group)
    return Calibration(held_out_residuals(problem), of_members)


def member_residuals(problem: Problem, group: str) -> tuple[Floats, ...]:
    """Of each member of a group, by models that never saw it; only of members with enough pairs."""
    residuals, members = held_out_residuals(problem, group), np.array(problem.groups[group])
    found = (residuals[(members == each) & np.isfinite(residuals)] for each in np.unique(members))
    return tuple(each for each in found if len(each) >= LEAST_MEMBER_PAIRS)


def _folds(problem: Problem, group: str | None) -> npt.NDArray[np.int64]:
    if group is not None and len(set(problem.groups[group])) >= 2:
        members = np.unique(np.array(problem.groups[group]), return_inverse=True)[1]
        return members.astype(np.int64) % MOST_GROUP_FOLDS
    return problem.task_folds(FOLDS)


def spreads(problem: Problem, residuals: Floats) -> dict[str, float]:
    """How far held-out comparisons with the default are off, by alternative: a robust standard
    deviation.

    The median absolute error of log(cost of the alternative / cost of the default) over tasks, scaled
    to be a standard deviation where errors are normal; the few tasks where speculation is misjudged do
    not widen it.
    """
    errors: dict[str, list[float]] = defaultdict(list)
    for indices in problem.tasks.values():
        of_task = {problem.alternatives[index]: residuals[index] for index in indices}
        against = of_task.get(problem.default or "", np.nan)
        for name, residual in of_task.items():
            if np.isfinite(residual - against):
                errors[name].append(abs(float(residual - against)))
    return {name: deviation(found) for name, found in sorted(errors.items())}


def conformal_bound(residuals: Floats, quantile: float = BOUND_QUANTILE) -> float:
    """Split-conformal quantile of n held-out residuals: the one of rank ceil((n + 1) q)."""
    ordered = np.sort(residuals[~np.isnan(residuals)])
    rank = min(math.ceil((len(ordered) + 1) * quantile), len(ordered))
    return float(ordered[rank - 1])


def balanced_bound(of_members: Sequence[Floats], quantile: float) -> float:
    """The quantile of the residuals of several members, of which each has the same weight in all."""
    pooled = np.concatenate(of_members)
    weights = np.concatenate([np.full(len(own), 1 / len(own)) for own in of_members])
    order = np.argsort(pooled)
    below = np.cumsum(weights[order]) / len(of_members)
    # Sums of weights are a rounding away from the share they stand for.
    rank = int(np.searchsorted(below, quantile - 1e-9))
    return float(pooled[order][min(rank, len(pooled) - 1)])


def margin(spread_of: Mapping[str, float], best: str, other: str) -> float:
    """The share by which `best` must undercut `other` to be taken instead: max(5 %, sigma of the
    comparison).

    An alternative never compared counts as the least sure one.
    """
    unknown = max(spread_of.values(), default=0.0)
    sigma = max(spread_of.get(best, unknown), spread_of.get(other, unknown))
    return max(LEAST_MARGIN, math.expm1(sigma))


class Learned:
    """The regressions alone, behind the contract of `metainf.method`."""

    def fit(self, problem: Problem) -> Self:
        """Learn the costs."""
        self._regression = fit(problem)
        return self

    def predict(self, problem: Problem) -> Floats:
        """Predicted log costs of the pairs."""
        return predict_log_costs(self._regression, problem)


class LearnedWithMargin(Learned):
    """As `Learned`, but the default is taken where no other is better by 5 %: the rule of `rule.decide` where
    nothing has to be started for it.
    """

    def predict(self, problem: Problem) -> Floats:
        """Predicted log costs, the default put first where it is as good."""
        scores = super().predict(problem)
        names = problem.alternatives
        for indices in problem.tasks.values():
            default = next((index for index in indices if names[index] == problem.default), None)
            best = indices[int(np.argmin(scores[indices]))]
            if default is not None and scores[best] < scores[default] <= scores[best] + math.log1p(
                LEAST_MARGIN
            ):
                scores[default] = np.nextafter(scores[best], -np.inf)
        return scores
