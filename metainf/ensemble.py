"""The selector for any table of costs: regressions of cost and comparisons of alternatives, together.

Two regressions predict each alternative's cost, two others by how much one alternative is dearer than another on
the same task; of each two, one is boosted and one is an average of random trees. They vote by predicted log cost.
Averaged costs are nearly right where tasks are alike; comparisons carry further to models and machines never seen.
So the weight of each vote depends on whether the task's model and hardware (its `group_*`) were met in training.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np
import numpy.typing as npt

from metainf.learner import FIXED_PARAMETERS
from metainf.problem import Floats, Mask, Problem

Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

# Weights of boosted and averaged costs, boosted and averaged comparisons. Found on LLM-Inference-Bench, where those
# near them do about as well.
_FAMILIAR = (1.0, 8.0, 1.0, 1.0)
_UNSEEN = (1.0, 0.0, 1.0, 4.0)

_BOOSTED = {"loss_function": "RMSE", "iterations": 400, "depth": 5, "learning_rate": 0.08, "l2_leaf_reg": 3.0}
_TREES = 60
# Each alternative is compared with at most this many others, the best of the training tasks, and at most so
# many pairs are learned from: enough for every table tried, and bounded for all others.
_OPPONENTS = 8
_MOST_PAIRS = 60_000
_SEED = 0
_UNKNOWN = -1.0


class Ensemble:
    """Learns from any problem whose rows tell the alternatives apart."""

    def fit(self, problem: Problem) -> Self:
        """Learn; a cost that was cut off is taken as at least its bound, then as predicted if that is more."""
        self._learn(_completed(problem, None))
        if problem.cut_offs is not None and np.isfinite(problem.cut_offs).any():
            self._learn(_completed(problem, np.exp(self._log_costs(problem))))
        self._seen = {name: frozenset(labels) for name, labels in problem.groups.items()}
        return self

    def predict(self, problem: Problem) -> Floats:
        """Predicted log costs, centred within each task for the comparisons and then put at the task's level."""
        boosted, averaged = self._log_costs(problem), self._averaged_log_costs(problem)
        weights = np.where(self._familiar(problem)[:, None], _FAMILIAR, _UNSEEN)
        weights = weights / weights.sum(axis=1, keepdims=True)
        level = _level(problem, boosted)
        votes = np.stack(
            [boosted - level, averaged - _level(problem, averaged), *self._comparisons(problem)], axis=1
        )
        return np.asarray((weights * votes).sum(axis=1) + level, dtype=np.float64)

    def _familiar(self, problem: Problem) -> Mask:
        """Whether every group of a pair's task was met in training."""
        met = np.ones(len(problem.task_ids), dtype=bool)
        for name, labels in problem.groups.items():
            seen = self._seen.get(name, frozenset())
            met &= np.array([label in seen for label in labels])
        return met

    def _learn(self, known: Problem) -> None:
        from catboost import CatBoost
        from sklearn.ensemble import ExtraTreesRegressor

        log_costs = np.log(known.costs)
        self._cost = CatBoost({**_BOOSTED, **FIXED_PARAMETERS})
        self._cost.fit(known.rows, log_costs - known.offset_log)
        self._averaged_cost = ExtraTreesRegressor(_TREES, random_state=_SEED, n_jobs=1)
        self._averaged_cost.fit(_gapless(known.rows), log_costs - known.offset_log)
        self._opponents = _opponents(known)
        self._task_columns = list(known.task_columns)
        one, other = self._pairs(known)
        if len(one) > _MOST_PAIRS:
            kept = np.random.default_rng(_SEED).choice(len(one), _MOST_PAIRS, replace=False)
            one, other = one[kept], other[kept]
        self._boosted: CatBoost | None = None
        self._averaged: ExtraTreesRegressor | None = None
        if len(one):
            rows, differences = self._rows_of(known, one, other), log_costs[one] - log_costs[other]
            self._boosted = CatBoost({**_BOOSTED, **FIXED_PARAMETERS})
            self._boosted.fit(rows, differences)
            self._averaged = ExtraTreesRegressor(_TREES, max_features=0.5, random_state=_SEED, n_jobs=1)
            self._averaged.fit(_gapless(rows), differences)

    def _log_costs(self, problem: Problem) -> Floats:
        predicted = np.asarray(self._cost.predict(problem.rows, thread_count=1), dtype=np.float64)
        return predicted + problem.offset_log

    def _averaged_log_costs(self, problem: Problem) -> Floats:
        predicted = np.asarray(self._averaged_cost.predict(_gapless(problem.rows)), dtype=np.float64)
        return predicted + problem.offset_log

    def _comparisons(self, problem: Problem) -> tuple[Floats, Floats]:
        """By how much each pair's alternative is dearer than its task's others (log), by either learner."""
        one, other = self._pairs(problem)
        none = np.zeros(len(problem.task_ids))
        if self._boosted is None or self._averaged is None or not len(one):
            return none, none
        rows = self._rows_of(problem, one, other)
        boosted = np.asarray(self._boosted.predict(rows, thread_count=1), dtype=np.float64)
        averaged = np.asarray(self._averaged.predict(_gapless(rows)), dtype=np.float64)
        return _balance(boosted, one, other, len(none)), _balance(averaged, one, other, len(none))

    def _pairs(self, problem: Problem) -> tuple[Indices, Indices]:
        """Both orders of any two alternatives of a task of which one is an opponent."""
        ones, others = [], []
        for indices in problem.tasks.values():
            strong = [problem.alternatives[index] in self._opponents for index in indices]
            for place, index in enumerate(indices):
                for other_place, other in enumerate(indices):
                    if place != other_place and (strong[place] or strong[other_place]):
                        ones.append(index)
                        others.append(other)
        return np.array(ones, dtype=np.int64), np.array(others, dtype=np.int64)

    def _rows_of(self, problem: Problem, one: Indices, other: Indices) -> Rows:
        """Features of the task, of the one alternative, and by how much the other's differ."""
        own = np.setdiff1d(np.arange(problem.rows.shape[1]), self._task_columns)
        task, mine = problem.rows[:, self._task_columns], problem.rows[:, own]
        return np.hstack([task[one], mine[one], mine[one] - mine[other]])


def _gapless(rows: Rows) -> Rows:
    """Unknown features at a value of their own, for learners that take none."""
    return np.nan_to_num(rows, nan=_UNKNOWN)


def _level(problem: Problem, log_costs: Floats) -> Floats:
    """The mean of its task, for each pair."""
    level = np.zeros(len(log_costs))
    for indices in problem.tasks.values():
        level[indices] = log_costs[indices].mean()
    return level


def _completed(problem: Problem, predicted: Floats | None) -> Problem:
    """The pairs whose cost is known or bounded from below, bounded ones at the greater of bound and prediction."""
    costs = problem.costs
    if problem.cut_offs is not None:
        bounded = problem.cut_offs if predicted is None else np.maximum(problem.cut_offs, predicted)
        costs = np.where(np.isfinite(costs), costs, bounded)
    return replace(problem, costs=costs).take(np.isfinite(costs))


def _opponents(problem: Problem) -> frozenset[str]:
    from metainf.baselines.fixed import SingleBest

    ranked: Mapping[str, float] = dict(
        zip(problem.alternatives, SingleBest().fit(problem).predict(problem).tolist(), strict=True)
    )
    return frozenset(sorted(ranked, key=lambda name: (ranked[name], name))[:_OPPONENTS])


def _balance(differences: Floats, one: Indices, other: Indices, size: int) -> Floats:
    """The mean predicted difference of each pair to its task's others, both orders counted."""
    sums, counts = np.zeros(size), np.zeros(size)
    np.add.at(sums, one, differences)
    np.add.at(sums, other, -differences)
    np.add.at(counts, one, 1)
    np.add.at(counts, other, 1)
    means: Floats = sums / np.maximum(counts, 1)
    return means
