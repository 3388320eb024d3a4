"""The selector's learner on any problem: one CatBoost regressor of log cost over (task, alternative)
pairs.
"""

from collections import defaultdict
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from metainf.problem import Floats, Fold, Problem

if TYPE_CHECKING:
    from catboost import CatBoost

# Differences below this share are called none, however sure the learner is.
LEAST_MARGIN = 0.05
BOUND_QUANTILE = 0.9
FOLDS = 5

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


def spread_within_tasks(problem: Problem, residuals: Floats) -> float:
    """Standard deviation of residuals around their task's mean: what stays unknown between a task's
    alternatives.
    """
    per_task: dict[str, list[float]] = defaultdict(list)
    for task_id, residual in zip(problem.task_ids, residuals, strict=True):
        if not np.isnan(residual):
            per_task[task_id].append(float(residual))
    centred = [value - np.mean(values) for values in per_task.values() for value in values]
    return float(np.std(centred))


def conformal_bound(residuals: Floats) -> float:
    """Split-conformal quantile of n held-out residuals: the one of rank ceil((n + 1) q)."""
    ordered = np.sort(residuals[~np.isnan(residuals)])
    rank = min(ceil((len(ordered) + 1) * BOUND_QUANTILE), len(ordered))
    return float(ordered[rank - 1])


def margin_of(sigma_log: float) -> float:
    """The share by which another alternative must be better before the default is left: max(5 %, sigma)."""
    return max(LEAST_MARGIN, float(np.expm1(sigma_log)))


def learned(fold: Fold) -> Floats:
    """Predicted log costs of the test pairs."""
    return predict_log_costs(fit(fold.train), fold.test)


def learned_with_margin(fold: Fold) -> Floats:
    """As `learned`, but the default is taken where no other is clearly better: the rule of
    `select.decide`.
    """
    scores = learned(fold)
    margin = margin_of(spread_within_tasks(fold.train, held_out_residuals(fold.train)))
    for indices in fold.test.tasks.values():
        default = next((i for i in indices if fold.test.alternatives[i] == fold.test.default), None)
        if default is not None and scores[default] <= scores[indices].min() + np.log1p(margin):
            scores[default] = -np.inf
    return scores
