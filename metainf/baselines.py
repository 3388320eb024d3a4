"""What a selector is held against: each takes a fold and answers with a score per test pair, lowest
taken.
"""

from collections import defaultdict

import numpy as np

from metainf.problem import Floats, Fold


def virtual_best(fold: Fold) -> Floats:
    """VBS, the oracle: the measured costs themselves."""
    return fold.test.costs


def single_best(fold: Fold) -> Floats:
    """SBS: alternatives ranked by mean log cost relative to their task, over the training tasks that
    offer them.
    """
    relative: dict[str, list[float]] = defaultdict(list)
    train = fold.train
    for indices in train.tasks.values():
        log_costs = np.log(train.costs[indices])
        mean = np.nanmean(log_costs)
        for index, log_cost in zip(indices, log_costs, strict=True):
            if np.isfinite(log_cost):
                relative[train.alternatives[index]].append(float(log_cost - mean))
    score = {name: float(np.mean(values)) for name, values in relative.items()}
    return np.array([score.get(name, np.inf) for name in fold.test.alternatives])


def always_default(fold: Fold) -> Floats:
    """The problem's default wherever a task offers it, else the single best."""
    names = np.array(fold.test.alternatives)
    return np.where(names == fold.test.default, -np.inf, single_best(fold))
