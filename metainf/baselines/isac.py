"""ISAC: instance-specific algorithm configuration (Kadioglu, Malitsky, Sellmann, Tierney; ECAI 2010).

Training tasks are clustered by g-means (Hamerly and Elkan, 2003): k-means splits a cluster as long as its
projection on the line between the halves is not normal. Clusters that are too small join the nearest. A new
task is given what was best, on average, in the cluster it falls into.
"""

import numpy as np
import numpy.typing as npt

from metainf.baselines.base import SEED, TableMethod
from metainf.grid import Grid
from metainf.problem import Floats

LEAST_CLUSTER = 5
# Anderson and Darling's statistic at the level of 0.05; at the 0.0001 of g-means some fifty tasks are one cluster.
_NOT_NORMAL = 0.752


class Isac(TableMethod):
    """One ranking of the alternatives for each cluster of tasks."""

    def _learn(self, features: Floats, grid: Grid) -> None:
        costs = grid.filled()
        groups = _split(features, np.arange(len(features)))
        large = [group for group in groups if len(group) >= LEAST_CLUSTER] or [np.arange(len(features))]
        self._centres = np.array([features[group].mean(axis=0) for group in large])
        nearest = self._nearest(features)
        overall = costs.mean(axis=0)
        self._rankings = np.array(
            [
                costs[nearest == place].mean(axis=0) if (nearest == place).any() else overall
                for place in range(len(large))
            ]
        )

    def _score(self, features: Floats) -> Floats:
        scores: Floats = self._rankings[self._nearest(features)]
        return scores

    def _nearest(self, features: Floats) -> npt.NDArray[np.int64]:
        distances = ((features[:, None, :] - self._centres[None, :, :]) ** 2).sum(axis=2)
        return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def _split(features: Floats, group: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """The group itself if it looks like one cluster, else the clusters of its two halves."""
    from sklearn.cluster import KMeans

    inside = features[group]
    if len(group) < 2 * LEAST_CLUSTER or len(np.unique(inside, axis=0)) < 2:
        return [group]
    halves = KMeans(2, n_init=4, random_state=SEED).fit(inside)
    direction = halves.cluster_centers_[0] - halves.cluster_centers_[1]
    if _is_normal(inside @ direction):
        return [group]
    labels = halves.labels_
    return _split(features, group[labels == 0]) + _split(features, group[labels == 1])


def _is_normal(values: Floats) -> bool:
    """Anderson and Darling's test, mean and deviation taken from the values."""
    from scipy.stats import norm

    if np.ptp(values) == 0:
        return True
    size = len(values)
    ordered = np.sort((values - values.mean()) / values.std(ddof=1))
    ranks = 2 * np.arange(1, size + 1) - 1
    statistic = -size - float((ranks * (norm.logcdf(ordered) + norm.logsf(ordered[::-1]))).mean())
    return bool(statistic * (1 + 4 / size - 25 / size**2) <= _NOT_NORMAL)
