"""CatBoost's symmetric trees as arrays, evaluated in the calling thread.

CatBoost hands every prediction to threads of its own, which on a busy machine costs milliseconds of waiting, many
times what scoring twenty candidates takes. The arithmetic here is the same: a leaf's number has bit i set where
the tree's i-th split is exceeded, leaves are added up in double precision.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from catboost import CatBoost

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_MOST_DEPTH = 16
_MOST_NUMBERS = 1 << 22


@dataclass(frozen=True, slots=True)
class Trees:
    """t trees of depth up to d with k outputs: s different splits (a feature and its border), which split stands at
    each level of each tree (d x t), leaves (t * 2**d x k), where each tree's leaves begin (t), scale and bias (k).
    """

    features: Indices
    borders: npt.NDArray[np.float32]
    levels: Indices
    leaves: Floats
    begins: npt.NDArray[np.int32]
    scale: float
    bias: Floats

    @classmethod
    def read(cls, text: str) -> "Trees":
        """From what `written` made, or a stranger in its place.

        Raises ValueError, KeyError or TypeError for anything else, and for trees too large to be held.
        """
        stored = json.loads(text)
        trees = stored["oblivious_trees"]
        scale, bias = stored["scale_and_bias"]
        depth = max([1, *(len(tree["splits"] or ()) for tree in trees)])
        if depth > _MOST_DEPTH or len(trees) * 2**depth * len(bias) > _MOST_NUMBERS:
            raise ValueError(f"{len(trees)} trees of depth {depth}: too many")
        # The first split is exceeded by nothing; it fills up trees that are less deep.
        known: dict[tuple[int, float], int] = {(0, np.inf): 0}
        levels = np.zeros((depth, len(trees)), dtype=np.int64)
        leaves = np.zeros((len(trees), 2**depth, len(bias)))
        for place, tree in enumerate(trees):
            for level, split in enumerate(tree["splits"] or ()):
                key = split["float_feature_index"], split["border"]
                levels[level, place] = known.setdefault(key, len(known))
            values = np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, len(bias))
            leaves[place, : len(values)] = values
        return cls(
            features=np.array([feature for feature, _ in known], dtype=np.int64),
            borders=np.array([border for _, border in known], dtype=np.float32),
            levels=levels,
            leaves=leaves.reshape(-1, len(bias)),
            begins=np.arange(len(trees), dtype=np.int32) * 2**depth,
            scale=float(scale),
            bias=np.array(bias, dtype=np.float64),
        )

    def predict(self, rows: npt.NDArray[np.float32]) -> Floats:
        """n x k raw outputs for n rows of features."""
        # Rows last: what belongs together in memory is what is read together. A leaf's number mostly fits a byte.
        whole = np.uint8 if len(self.levels) <= 8 else np.int32
        exceeded = (rows.T.take(self.features, axis=0) > self.borders[:, None]).view(np.uint8)
        leaf = exceeded.take(self.levels[0], axis=0).astype(whole, copy=False)
        for level in range(1, len(self.levels)):
            leaf |= exceeded.take(self.levels[level], axis=0) << whole(level)
        added: Floats = self.leaves.take(self.begins[:, None] + leaf, axis=0).sum(axis=0)
        return added * self.scale + self.bias


def written(*models: "CatBoost") -> str:
    """The trees of trained models of numeric features as JSON, which is read without CatBoost.

    What the models predict is added up: of one with fewer outputs than the first, to the first's last ones.
    """
    every = [_exported(model) for model in models]
    outputs = len(every[0]["scale_and_bias"][1])
    trees, bias = [], np.zeros(outputs)
    for stored in every:
        scale, own_bias = stored["scale_and_bias"]
        missing = outputs - len(own_bias)
        bias[missing:] += own_bias
        for tree in stored["oblivious_trees"]:
            leaves = np.array(tree["leaf_values"]).reshape(-1, len(own_bias)) * scale
            trees.append(
                {
                    "splits": [
                        {name: split[name] for name in ("border", "float_feature_index")}
                        for split in tree["splits"] or ()
                    ],
                    "leaf_values": np.pad(leaves, ((0, 0), (missing, 0))).ravel().tolist(),
                }
            )
    text = {"oblivious_trees": trees, "scale_and_bias": [1, bias.tolist()]}
    return json.dumps(text, separators=(",", ":"), sort_keys=True)


def _exported(model: "CatBoost") -> dict[str, Any]:
    """CatBoost's own JSON of a model."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        stored: dict[str, Any] = json.loads(path.read_bytes())
    return stored
