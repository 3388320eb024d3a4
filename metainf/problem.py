"""Choosing among alternatives as a learning problem: tasks, their alternatives, costs, features, and
how to split them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """n (task, alternative) pairs. `costs` are positive, NaN where the alternative failed or was cut off.

    `rows` are the n x d features, `log_targets` the n x k logarithms to learn, the last of them that of the
    cost, `offset_log` what is known of log cost beforehand (zeros if nothing),
    `groups` name the task's model, hardware or the like for splits, `works` what tasks are one and the same (on several
    machines, say) and share a fold of any random split, by default each task its own; `default` is the alternative to
    keep to when others are not clearly better, if there is such a one. `cut_offs` are n costs at which a run was
    stopped unfinished (NaN for all others): the true cost is at least that. `feature_names` name the
    columns of `rows`, `task_columns` are those that all alternatives of a task share.
    """

    task_ids: tuple[str, ...]
    alternatives: tuple[str, ...]
    costs: Floats
    log_targets: Floats
    rows: npt.NDArray[np.float32]
    offset_log: Floats
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default: str | None = None
    cut_offs: Floats | None = None
    feature_names: tuple[str, ...] = ()
    task_columns: tuple[int, ...] = ()
    works: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.works:
            object.__setattr__(self, "works", self.task_ids)

    @cached_property
    def tasks(self) -> dict[str, npt.NDArray[np.int64]]:
        """Indices of the pairs of each task, by task id in order, their alternatives in order of name."""
        found: dict[str, list[int]] = defaultdict(list)
        for index in sorted(
            range(len(self.task_ids)), key=lambda i: (self.task_ids[i], self.alternatives[i])
        ):
            found[self.task_ids[index]].append(index)
        return {task_id: np.array(indices) for task_id, indices in found.items()}

    def take(self, chosen: Mask) -> "Problem":
        """The pairs where `chosen` is true."""

        def kept(values: Sequence[str]) -> tuple[str, ...]:
            return tuple(value for value, keep in zip(values, chosen, strict=True) if keep)

        return replace(
            self,
            task_ids=kept(self.task_ids),
            alternatives=kept(self.alternatives),
            costs=self.costs[chosen],
            log_targets=self.log_targets[chosen],
            rows=self.rows[chosen],
            offset_log=self.offset_log[chosen],
            groups={name: kept(values) for name, values in self.groups.items()},
            cut_offs=None if self.cut_offs is None else self.cut_offs[chosen],
            works=kept(self.works),
        )

    def judged_costs(self) -> Floats:
        """What taking each pair is counted as: its cost; where it failed or was cut off, the dearest of its task.

        NaN for the tasks in which nothing is known.
        """
        known = self.costs if self.cut_offs is None else np.fmax(self.costs, self.cut_offs)
        judged = self.costs.copy()
        for indices in self.tasks.values():
            of_task = known[indices]
            if np.isfinite(of_task).any():
                judged[indices] = np.where(np.isfinite(judged[indices]), judged[indices], np.nanmax(of_task))
        return judged

    def without_costs(self) -> "Problem":
        """The same questions without the answers, for a method to be judged on."""
        unknown = np.full(len(self.costs), np.nan)
        return replace(self, costs=unknown, log_targets=np.full_like(self.log_targets, np.nan), cut_offs=None)

    def task_folds(self, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
        """A fold number for each pair; all tasks of a work share one."""
        every = sorted(set(self.works))
        places = np.random.default_rng(seed).permutation(len(every))
        fold_of = {work: int(place) % count for work, place in zip(every, places, strict=True)}
        return np.array([fold_of[work] for work in self.works])

    def contested_mask(self) -> Mask:
        """The pairs of the tasks with two or more alternatives that succeeded: in the others there is nothing
        to choose.
        """
        chosen = np.zeros(len(self.task_ids), dtype=bool)
        for indices in self.tasks.values():
            if np.isfinite(self.costs[indices]).sum() >= 2:
                chosen[indices] = True
        return chosen

    def contested(self) -> "Problem":
        """Only the tasks of `contested_mask`."""
        return self.take(self.contested_mask())


@dataclass(frozen=True)
class Fold:
    """One part of a split: what to learn from and what to judge on."""

    train: Problem
    test: Problem


RANDOM = "random"
UNSEEN = "unseen_"


def splits(problem: Problem, folds: int = 5) -> dict[str, tuple[Fold, ...]]:
    """Random by task; and, for each group with two or more members, leaving out one member at a time.

    A group called `fold` is taken as given folds instead.
    """
    made = {RANDOM: _by_label(problem, tuple(map(str, problem.task_folds(folds))))}
    for name, labels in sorted(problem.groups.items()):
        if len(set(labels)) >= 2:
            made["given_folds" if name == "fold" else UNSEEN + name] = _by_label(problem, labels)
    return made


def _by_label(problem: Problem, labels: Sequence[str]) -> tuple[Fold, ...]:
    values = np.array(labels)
    return tuple(Fold(problem.take(values != v), problem.take(values == v)) for v in sorted(set(labels)))
