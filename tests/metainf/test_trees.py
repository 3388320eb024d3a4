"""Trees evaluated here against CatBoost's own evaluation, and against the number of threads."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from catboost import CatBoost

from metainf import SelectionState, Selector, Workload
from metainf.errors import MetaModelUnreadable
from metainf.model import SHIPPED, MetaModel
from metainf.trees import Trees, portable
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES

# One choice with everything in it that could differ: what was predicted, for every candidate, and the record's digest.
CHOOSE = """
from metainf import SelectionState, Selector, Workload
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES
workload = Workload.from_token_ids([[*range(10, 110), 500 + i] for i in range(40)], [4] * 40)
print(Selector.load().select(MODEL, MACHINE, workload, SelectionState(), STRATEGIES).record.digest())
"""


def loaded(stored: bytes) -> CatBoost:
    model = CatBoost()
    model.load_model(blob=stored)
    return model


@pytest.mark.parametrize("part", ["cost_bytes", "failure_bytes"])
def test_the_shipped_trees_give_what_catboost_gives(part):
    meta_model = MetaModel.load(SHIPPED)
    model = loaded(getattr(meta_model, part))
    trees = Trees.of(model)
    # Rows on and about the borders, where a comparison the wrong way round shows.
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 6, (300, len(meta_model.feature_names))).astype(np.float32)
    for row in rows[:150]:
        drawn = rng.integers(1, len(trees.features), 20)
        row[trees.features[drawn]] = trees.borders[drawn]
    expected = np.asarray(model.predict(rows, prediction_type="RawFormulaVal")).reshape(len(rows), -1)
    assert trees.predict(rows) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert np.ptp(expected, axis=0).min() > 0.1


def test_trees_of_any_depth_are_followed_to_the_right_leaf():
    rows = np.random.default_rng(0).random((600, 4)).astype(np.float32)
    model = CatBoost(
        {"iterations": 20, "depth": 10, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    )
    model.fit(rows, rows[:, 0] ** 2 + rows[:, 1] * rows[:, 2])
    assert Trees.of(model).predict(rows)[:, 0] == pytest.approx(model.predict(rows), rel=1e-12)


def test_a_portable_meta_model_chooses_as_the_one_it_was_made_from():
    shipped = MetaModel.load(SHIPPED)
    made = MetaModel.read(shipped.portable().to_bytes(), "portable")
    assert (shipped.is_portable, made.is_portable) == (False, True)
    assert made.portable() == made
    workload = Workload.from_token_ids([[*range(10, 110), 500 + i] for i in range(40)], [4] * 40)
    ours, theirs = (
        Selector(each).select(MODEL, MACHINE, workload, SelectionState(), STRATEGIES)
        for each in (shipped, made)
    )
    assert ours.predictions == theirs.predictions
    assert ours.record.meta_model_digest != theirs.record.meta_model_digest


def bent(**changes):
    stored = json.loads(portable(loaded(MetaModel.load(SHIPPED).cost_bytes)))
    return json.dumps({**stored, **changes}).encode()


@pytest.mark.parametrize(
    "trees",
    [
        b"{",
        b"{}",
        bent(oblivious_trees=7),
        bent(oblivious_trees=[{"splits": []}]),
        bent(oblivious_trees=[{"splits": [], "leaf_values": ["x"] * 3}]),
        bent(
            oblivious_trees=[{"splits": [{"border": 0.5, "float_feature_index": 0}] * 40, "leaf_values": []}]
        ),
        bent(oblivious_trees=[{"splits": [], "leaf_values": [0.0] * 300}]),
        bent(scale_and_bias=[1]),
        b"{" * 200_000,
    ],
    ids=range(9),
)
def test_trees_of_a_stranger_that_cannot_be_read_are_refused(trees):
    with pytest.raises(MetaModelUnreadable):
        replace(MetaModel.load(SHIPPED), cost_bytes=trees).predictor()


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
