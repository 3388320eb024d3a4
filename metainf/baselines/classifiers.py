"""Those that predict which alternative wins instead of what each costs."""

from itertools import combinations

import numpy as np

from metainf.baselines.base import SEED, TREES, TableMethod
from metainf.grid import Grid
from metainf.problem import Floats


class BestLabel(TableMethod):
    """The framing of the paper: the quickest alternative is a class, and a boosted classifier predicts it."""

    def _learn(self, features: Floats, grid: Grid) -> None:
        from catboost import CatBoostClassifier

        best = np.nanargmin(grid.log_costs, axis=1)
        self._classes, labels = np.unique(best, return_inverse=True)
        self._classifier = None
        if len(self._classes) > 1:
            self._classifier = CatBoostClassifier(
                iterations=200,
                depth=4,
                loss_function="MultiClass",
                random_seed=SEED,
                thread_count=1,
                verbose=False,
                allow_writing_files=False,
            )
            self._classifier.fit(features, labels)

    def _score(self, features: Floats) -> Floats:
        scores = np.zeros((len(features), len(self._alternatives)))
        if self._classifier is None:
            scores[:, self._classes[0]] = -1.0
        else:
            scores[:, self._classes] = -np.asarray(self._classifier.predict_proba(features, thread_count=1))
        return scores


class PairwiseForest(TableMethod):
    """SATzilla 2012 (Xu, Hutter, Hoos, Leyton-Brown): a forest for each two alternatives votes for the cheaper one.

    A training task weighs as much as the log costs of the two differ, so that a wrong vote counts what it costs.
    """

    def _learn(self, features: Floats, grid: Grid) -> None:
        from sklearn.ensemble import RandomForestClassifier

        self._votes: list[tuple[int, int, RandomForestClassifier | bool]] = []
        for one, other in combinations(range(len(grid.alternatives)), 2):
            difference = grid.log_costs[:, one] - grid.log_costs[:, other]
            told = np.isfinite(difference) & (difference != 0)
            dearer = difference[told] > 0
            if len(np.unique(dearer)) < 2:
                if told.any():
                    self._votes.append((one, other, bool(dearer[0])))
                continue
            forest = RandomForestClassifier(TREES // 2, max_features="sqrt", random_state=SEED, n_jobs=1)
            forest.fit(features[told], dearer, sample_weight=np.abs(difference[told]))
            self._votes.append((one, other, forest))

    def _score(self, features: Floats) -> Floats:
        against = np.zeros((len(features), len(self._alternatives)))
        for one, other, vote in self._votes:
            share = (
                np.full(len(features), float(vote))
                if isinstance(vote, bool)
                else np.asarray(vote.predict_proba(features))[:, 1]
            )
            # Whole votes, as in the original; the share of trees only decides between equal ones.
            dearer = (share > 0.5) + 1e-3 * share
            against[:, one] += dearer
            against[:, other] += 1.001 - dearer
        return against
