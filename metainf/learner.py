"""The selector's learner on any problem: one CatBoost regressor of log cost over (task, alternative)
pairs.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from metainf.problem import Floats, Fold, Problem

if TYPE_CHECKING:
    from catboost import CatBoost

# Differences below this share are called none, however sure the learner is.
LEAST_MARGIN = 0.05
BOUND_QUANTILE = 0.9
FOLDS = 5

# The standard deviation of a normal distribution over its median absolute deviation.
_NORMAL_PER_MEDIAN = 1.4826

FIXED_PARAMETERS = {"random_seed": 0, "thread_count": 1, "verbose": False, "allow_writing_files": False}
_PARAMETERS = {
    "loss_function": "MultiRMSE",
    "iterations": 500,
    "depth": 4,
    "learning_rate": 0.06,
    "l2_leaf_reg": 3.0,
}


def fit(problem: Problem) -> "CatBoost":
    """Learn the log targets, less what is known beforehand, of the pairs that succeeded. Same data,
    same trees.
    """
    from catboost import CatBoost

    good = problem.take(np.isfinite(problem.costs))
    model = CatBoost({**_PARAMETERS, **FIXED_PARAMETERS})
    model.fit(good.rows, good.log_targets - good.offset_log[:, None])
    return model


def predict_log_costs(model: "CatBoost", problem: Problem) -> Floats:
    """Predicted log cost of each pair."""
    relative = np.asarray(model.predict(problem.rows, thread_count=1), dtype=np.float64)
    return relative.reshape(len(problem.rows), -1)[:, -1] + problem.offset_log


def held_out_residuals(problem: Problem) -> Floats:
    """log(actual / predicted) of every pair that succeeded, by models that never saw its task; NaN for
    the others.
    """
    folds = problem.task_folds(FOLDS)
    residuals = np.full(len(folds), np.nan)
    for fold in range(FOLDS):
        held_out = (folds == fold) & np.isfinite(problem.costs)
        if held_out.any():
            model = fit(problem.take(folds != fold))
            test = problem.take(held_out)
            residuals[held_out] = np.log(test.costs) - predict_log_costs(model, test)
    return residuals


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
    return {name: _NORMAL_PER_MEDIAN * float(np.median(found)) for name, found in sorted(errors.items())}


def conformal_bound(residuals: Floats) -> float:
    """Split-conformal quantile of n held-out residuals: the one of rank ceil((n + 1) q)."""
    ordered = np.sort(residuals[~np.isnan(residuals)])
    rank = min(math.ceil((len(ordered) + 1) * BOUND_QUANTILE), len(ordered))
    return float(ordered[rank - 1])


def margin(spread_of: Mapping[str, float], best: str, other: str) -> float:
    """The share by which `best` must undercut `other` to be taken instead: max(5 %, sigma of the
    comparison).

    An alternative never compared counts as the least sure one.
    """
    unknown = max(spread_of.values(), default=0.0)
    sigma = max(spread_of.get(best, unknown), spread_of.get(other, unknown))
    return max(LEAST_MARGIN, math.expm1(sigma))


def learned(fold: Fold) -> Floats:
    """Predicted log costs of the test pairs."""
    return predict_log_costs(fit(fold.train), fold.test)


def learned_with_margin(fold: Fold) -> Floats:
    """As `learned`, but the default is taken where no other is clearly better: the rule of
    `select.decide`.
    """
    scores = learned(fold)
    spread_of = spreads(fold.train, held_out_residuals(fold.train))
    names = fold.test.alternatives
    for indices in fold.test.tasks.values():
        default = next((index for index in indices if names[index] == fold.test.default), None)
        best = indices[int(np.argmin(scores[indices]))]
        if default is not None:
            needed = margin(spread_of, names[best], names[default])
            if scores[default] <= scores[best] + math.log1p(needed):
                scores[default] = -np.inf
    return scores
