"""Engines kept up over a stream: what it costs, and that nothing beats the planned best."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf.residents import kept, least_spent, spent


def test_the_one_unused_for_longest_is_let_go():
    assert kept((1, 2, 3), 4, room=3) == (2, 3, 4)
    assert kept((1, 2, 3), 1, room=3) == (2, 3, 1)
    assert kept((), 5, room=1) == (5,)


def test_a_start_is_paid_once_while_the_engine_stays_up():
    secs, starts = np.ones((4, 2)), np.array([10.0, 20.0])
    assert spent(secs, starts, [0, 1, 0, 1], room=2).total_secs == pytest.approx(34)
    assert spent(secs, starts, [0, 1, 0, 1], room=1).total_secs == pytest.approx(64)


def test_it_is_told_apart_what_starts_cost_and_what_the_wrong_engine_of_those_up():
    secs, starts = np.array([[1.0, 5.0], [3.0, 2.0], [4.0, 1.0]]), np.array([10.0, 20.0])
    found = spent(secs, starts, [0, 1, 0], room=2)
    assert (found.starts, found.start_secs, found.run_secs, found.least_run_secs) == (2, 30.0, 7.0, 4.0)
    assert spent(secs, starts, [0, 1, 0], room=1).least_run_secs == 7.0
    best = least_spent(secs, starts, room=2)
    assert (best.starts, best.start_secs, best.run_secs) == (1, 10.0, 8.0)


tables = st.lists(st.lists(st.floats(0.1, 5), min_size=3, max_size=3), min_size=1, max_size=5)


@given(tables, st.lists(st.floats(0, 9), min_size=3, max_size=3), st.integers(1, 3))
def test_the_best_is_what_trying_every_sequence_finds_or_less(rows, starts, room):
    secs, due = np.array(rows), np.array(starts)
    tried = min(spent(secs, due, taken, room).total_secs for taken in product(range(3), repeat=len(rows)))
    best = least_spent(secs, due, room).total_secs
    assert best <= tried + 1e-9
    if room in (1, 3):
        # With one engine, or room for all, there is nothing to let go with foresight.
        assert best == pytest.approx(tried)
