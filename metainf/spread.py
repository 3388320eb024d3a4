"""An order in which few tasks say most: each next one is the farthest from all before it (maximin)."""

from collections.abc import Sequence
from math import inf, log1p
from typing import TypeVar

import numpy as np

from metainf.facts import Workload

Item = TypeVar("Item")


def farthest_first(items: Sequence[Item], workloads: Sequence[Workload]) -> list[Item]:
    """The items in maximin order over their workloads, beginning with the one nearest to the middle.

    Deterministic: ties go to the earlier.
    """
    if not items:
        return []
    points = np.array([_point(workload) for workload in workloads])
    spread = points.std(axis=0)
    points = (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    distances = np.full(len(items), inf)
    order: list[int] = []
    for _ in items:
        nearest = int(np.argmax(distances)) if order else int(np.argmin((points**2).sum(axis=1)))
        order.append(nearest)
        distances = np.minimum(distances, ((points - points[nearest]) ** 2).sum(axis=1))
        distances[order] = -1.0
    return [items[place] for place in order]


def _point(workload: Workload) -> tuple[float, ...]:
    return (
        log1p(workload.prompts),
        log1p(workload.concurrency),
        log1p(workload.prompt_tokens),
        log1p(workload.output_tokens),
        log1p(workload.output_quantiles[3]),
        workload.shared_prefix_ratio,
        workload.greedy / workload.prompts,
        workload.ngram_overlap,
    )
