"""What noise costs in a score, by examples counted by hand."""

import numpy as np
import pytest

from metainf.judge import Outcome
from metainf.repeats import clairvoyant_loss_log, held_out


def runs(**ratios):
    """One task; for each strategy its log ratio in each turn, `None` where it did not run."""
    return {
        "task": {
            name: {("task", "", turn): ratio for turn, ratio in enumerate(own) if ratio is not None}
            for name, own in ratios.items()
        }
    }


def took(strategy):
    return [Outcome("task", "task", strategy, "a", 0.0, 0.0, 0.0, 0.0)]


def test_oracle_and_method_are_judged_by_the_half_that_the_oracle_did_not_see():
    """It takes `a` by the first turn, which is SBS's choice, and `b` by the second, dearer by 0.1 in the first."""
    found = held_out(runs(a=(0.0, 0.2), b=(0.1, 0.0)), took("b"), took("a"))
    assert found.tasks == 1
    assert found.ahead_log == pytest.approx((0.2 - 0.1) / 2)
    assert found.oracle_ahead_log == pytest.approx((0.0 - 0.1) / 2)


def test_where_runs_agree_the_oracle_is_the_best_and_taking_it_closes_the_gap():
    agreed = runs(a=(0.3, 0.3, 0.3), b=(0.1, 0.1, 0.1), c=(0.2, 0.2, 0.2))
    assert held_out(agreed, took("b"), took("a")).gap_closed == pytest.approx(1.0)
    assert held_out(agreed, took("c"), took("a")).gap_closed == pytest.approx(0.5)


def test_a_task_is_left_out_where_a_choice_ran_in_one_half_only():
    assert held_out(runs(a=(0.1, 0.1), b=(0.0, None)), took("b"), took("a")).tasks == 0


def test_the_clairvoyant_pays_nothing_where_runs_do_not_differ():
    assert clairvoyant_loss_log(runs(a=(0.0, 0.0), b=(0.0, 0.0))) == pytest.approx([0.0])


def test_what_noise_charges_the_clairvoyant_is_the_luck_of_the_best_of_equals_and_falls_with_runs():
    """Of k equals, each off by a normal error, the luckiest is below the first by the mean of the least of k."""
    rng = np.random.default_rng(1)

    def equals(turns, k=4):
        errors = rng.normal(size=(40, k, turns)) * 0.1
        errors -= np.median(errors, axis=2, keepdims=True)
        return {
            f"task {place}": runs(**{f"s{i}": own for i, own in enumerate(of_task)})["task"]
            for place, of_task in enumerate(errors)
        }

    few, many = (clairvoyant_loss_log(equals(turns)).mean() for turns in (3, 27))
    least_of_four_normals = 1.029
    # The median of three normals spreads by 0.67 of one.
    assert few == pytest.approx(0.1 * 0.67 * least_of_four_normals, rel=0.25)
    assert many < few / 2
