"""Trees evaluated here against CatBoost's own evaluation, and against the number of threads."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from catboost import CatBoost

from metainf.errors import MetaModelUnreadable
from metainf.model import SHIPPED, MetaModel
from metainf.trees import Trees, written

# One choice with everything in it that could differ: what was predicted, for every candidate, and the record's digest.
CHOOSE = """
from metainf import SelectionState, Selector, Workload
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES
workload = Workload.from_token_ids([[*range(10, 110), 500 + i] for i in range(40)], [4] * 40)
print(Selector.load().select(MODEL, MACHINE, workload, SelectionState(), STRATEGIES).record.digest())
"""


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("depth", [4, 10])
def test_written_trees_give_what_catboost_gives(depth, outputs):
    rng = np.random.default_rng(0)
    rows = rng.random((600, 4)).astype(np.float32)
    targets = np.stack(
        [rows[:, 0] ** (each + 2) + rows[:, 1] * rows[:, 2] for each in range(outputs)], axis=1
    )
    parameters = {"iterations": 20, "depth": depth, "loss_function": "MultiRMSE" if outputs > 1 else "RMSE"}
    model = CatBoost({**parameters, "thread_count": 1, "verbose": False, "allow_writing_files": False})
    model.fit(rows, targets)
    trees = Trees.read(written(model))
    # Rows on and about the borders too, where a comparison the wrong way round shows.
    for row in rows[:300]:
        drawn = rng.integers(1, len(trees.features), 3)
        row[trees.features[drawn]] = trees.borders[drawn]
    expected = np.asarray(model.predict(rows)).reshape(len(rows), -1)
    assert trees.predict(rows) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert np.ptp(expected, axis=0).min() > 0.1


def test_what_several_models_predict_is_added_up():
    rng = np.random.default_rng(0)
    rows = rng.random((200, 3)).astype(np.float32)
    parameters = {"iterations": 20, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    both = CatBoost({**parameters, "loss_function": "MultiRMSE"}).fit(rows, rows[:, :2] * 3)
    last = CatBoost({**parameters, "loss_function": "RMSE", "depth": 2}).fit(rows, rows[:, 2] - 7)
    expected = np.asarray(both.predict(rows))
    expected[:, 1] += last.predict(rows)
    assert Trees.read(written(both, last)).predict(rows) == pytest.approx(expected, rel=1e-12)


def bent(**changes):
    return json.dumps({**json.loads(MetaModel.load(SHIPPED).cost_model), **changes})


@pytest.mark.parametrize(
    "trees",
    [
        "{",
        "{}",
        bent(oblivious_trees=7),
        bent(oblivious_trees=[{"splits": []}]),
        bent(oblivious_trees=[{"splits": [], "leaf_values": ["x"] * 3}]),
        bent(
            oblivious_trees=[{"splits": [{"border": 0.5, "float_feature_index": 0}] * 40, "leaf_values": []}]
        ),
        bent(oblivious_trees=[{"splits": [], "leaf_values": [0.0] * 300}]),
        bent(scale_and_bias=[1]),
        "{" * 200_000,
    ],
    ids=range(9),
)
def test_trees_of_a_stranger_that_cannot_be_read_are_refused(trees):
    with pytest.raises(MetaModelUnreadable):
        replace(MetaModel.load(SHIPPED), cost_model=trees).predictor()


@pytest.mark.slow
def test_the_same_bytes_choose_alike_whatever_the_number_of_threads():
    digests = set()
    for threads in ("1", "2", "7"):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        done = subprocess.run(
            [sys.executable, "-c", CHOOSE],
            env=os.environ | limits,
            check=True,
            capture_output=True,
            text=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert digests.pop().startswith("0x")
