"""One regression of log cost per alternative on the task's features, by a random forest or by gradient boosting."""

import numpy as np

from metainf.baselines.base import SEED, TREES, TableMethod
from metainf.grid import Grid
from metainf.problem import Floats


class RandomForest(TableMethod):
    """scikit-learn's forest, all alternatives at once."""

    def _learn(self, features: Floats, grid: Grid) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self._forest = RandomForestRegressor(TREES, random_state=SEED, n_jobs=1)
        self._forest.fit(features, grid.filled())

    def _score(self, features: Floats) -> Floats:
        return np.asarray(self._forest.predict(features)).reshape(len(features), -1)


class GradientBoosting(TableMethod):
    """scikit-learn's gradient boosting, one model per alternative."""

    def _learn(self, features: Floats, grid: Grid) -> None:
        from sklearn.ensemble import GradientBoostingRegressor

        self._models = [
            GradientBoostingRegressor(random_state=SEED).fit(features, costs) for costs in grid.filled().T
        ]

    def _score(self, features: Floats) -> Floats:
        return np.stack([model.predict(features) for model in self._models], axis=1)
