"""Engines kept up over a stream: what it costs, and that nothing beats the planned best."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf.residents import best_secs, kept, total_secs


def test_the_one_unused_for_longest_is_let_go():
    assert kept((1, 2, 3), 4, room=3) == (2, 3, 4)
    assert kept((1, 2, 3), 1, room=3) == (2, 3, 1)
    assert kept((), 5, room=1) == (5,)


def test_a_start_is_paid_once_while_the_engine_stays_up():
    secs, starts = np.ones((4, 2)), np.array([10.0, 20.0])
    assert total_secs(secs, starts, [0, 1, 0, 1], room=2) == pytest.approx(34)
    assert total_secs(secs, starts, [0, 1, 0, 1], room=1) == pytest.approx(64)


tables = st.lists(st.lists(st.floats(0.1, 5), min_size=3, max_size=3), min_size=1, max_size=5)


@given(tables, st.lists(st.floats(0, 9), min_size=3, max_size=3), st.integers(1, 3))
def test_the_best_is_what_trying_every_sequence_finds_or_less(rows, starts, room):
    secs, due = np.array(rows), np.array(starts)
    tried = min(total_secs(secs, due, taken, room) for taken in product(range(3), repeat=len(rows)))
    best = best_secs(secs, due, room)
    assert best <= tried + 1e-9
    if room in (1, 3):
        # With one engine, or room for all, there is nothing to let go with foresight.
        assert best == pytest.approx(tried)
