"""ALORS: algorithm recommendation as collaborative filtering (Misir and Sebag, Artificial Intelligence 244, 2017).

The tasks x alternatives table is factorised; a random forest learns the latent factors of a task from its
features, so that a task nobody has run yet can be given some (cold start). The original factorises ranks with
CofiRank; here it is the truncated singular value decomposition of log costs, gaps filled.
"""

import numpy as np

from metainf.baselines.base import SEED, TREES, TableMethod
from metainf.grid import Grid
from metainf.problem import Floats

# The share of the variance that the latent factors keep.
_KEPT = 0.95


class Alors(TableMethod):
    """Latent factors of tasks, learned from features, times those of alternatives."""

    def _learn(self, features: Floats, grid: Grid) -> None:
        from sklearn.ensemble import RandomForestRegressor

        costs = grid.filled()
        self._typical = costs.mean(axis=0)
        left, sizes, right = np.linalg.svd(costs - self._typical, full_matrices=False)
        explained = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-12)
        rank = int(np.searchsorted(explained, _KEPT)) + 1
        self._factors = right[:rank]
        self._forest = RandomForestRegressor(TREES, random_state=SEED, n_jobs=1)
        latent = left[:, :rank] * sizes[:rank]
        self._forest.fit(features, latent[:, 0] if rank == 1 else latent)

    def _score(self, features: Floats) -> Floats:
        latent = np.asarray(self._forest.predict(features)).reshape(len(features), -1)
        scores: Floats = latent @ self._factors + self._typical
        return scores
