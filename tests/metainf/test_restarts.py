"""Choices net of restarts, on streams short enough to count by hand."""

from itertools import product

import numpy as np
import pytest

from metainf.restarts import _path, _total, _weighing


def test_the_oracle_finds_the_cheapest_of_all_sequences():
    rng = np.random.default_rng(0)
    for _ in range(20):
        costs, starts = rng.uniform(0, 10, (6, 3)), rng.uniform(0, 8, 3)
        cheapest = min(_total(costs, starts, taken) for taken in product(range(3), repeat=6))
        assert _total(costs, starts, _path(costs, starts)) == pytest.approx(cheapest)


def test_only_a_change_costs_a_start_and_the_first_is_free():
    costs, starts = np.ones((4, 2)), np.array([10.0, 20.0])
    assert _total(costs, starts, [1, 1, 1, 1]) == 4
    assert _total(costs, starts, [1, 0, 0, 1]) == 4 + 10 + 20


def test_weighing_changes_only_for_more_than_a_start():
    costs, starts = np.array([[1.0, 2.0], [9.0, 1.0], [1.0, 6.0]]), np.array([7.0, 7.0])
    assert _weighing(costs, starts) == [0, 1, 1]
