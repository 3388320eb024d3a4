"""Starts repaid by what jobs went without: what a stream costs at worst, whatever comes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf import DEFAULT_NAME, SelectionState
from metainf.foregone import foregone_after
from metainf.learner import LEAST_MARGIN
from metainf.residents import kept, least_spent, spent
from metainf.rule import FASTEST, KEPT_RUNNING, decide
from tests.metainf.makers import predicted

NAMES = ("a", "b", "c")


def course(secs, starts, room, names=NAMES):
    """The strategies the rule takes, by place, where each job is foreseen rightly and none after it is told of."""
    up: tuple[int, ...] = ()
    foregone: dict[str, float] = {}
    taken = []
    for row in secs:
        state = SelectionState(
            running=names[up[-1]] if up else None,
            resident=tuple(sorted(names[each] for each in up)),
            foregone_secs=foregone,
        )
        predictions = [
            predicted(name, each, restart_secs=0.0 if place in up else starts[place])
            for place, (name, each) in enumerate(zip(names, row, strict=False))
        ]
        taken.append(decide(predictions, state, {})[0])
        up = kept(up, taken[-1], room)
        leaving = [names[up[0]]] if len(up) == room else []
        foregone = foregone_after(state, predictions, names[taken[-1]], [names[each] for each in up], leaving)
    return taken


def streams(strategies):
    """Jobs x strategies in seconds, with a start for each; a row may come many times."""
    rows = st.lists(st.floats(0.1, 5), min_size=strategies, max_size=strategies)
    runs = st.lists(st.tuples(rows, st.integers(1, 30)), min_size=1, max_size=8)
    secs = runs.map(lambda found: np.array([row for row, count in found for _ in range(count)]))
    return st.tuples(secs, st.lists(st.floats(1, 40), min_size=strategies, max_size=strategies))


def totals(stream, room):
    """What the rule costs but for the very first start, which nobody is spared, and the least there is with it."""
    secs, starts = stream
    taken = course(secs, starts, room)
    ours = spent(secs, np.array(starts), taken, room).total_secs - starts[taken[0]]
    return ours, least_spent(secs, np.array(starts), room).total_secs


@given(streams(2))
def test_two_strategies_with_room_for_both_cost_at_most_twice_what_foresight_would(stream):
    """But for one job, and for what the rule keeps running within its margin; so the others."""
    ours, best = totals(stream, room=2)
    assert ours <= (1 + LEAST_MARGIN) * (2 * best + stream[0].max())


@given(streams(2))
def test_two_strategies_with_room_for_one_cost_at_most_three_times_what_foresight_would(stream):
    ours, best = totals(stream, room=1)
    assert ours <= (1 + LEAST_MARGIN) * (3 * best + max(stream[1]) + stream[0].max())


@given(streams(3))
def test_no_stream_costs_more_than_twice_what_staying_with_the_first_engine_would(stream):
    secs, starts = stream
    first = course(secs, starts, room=3)[0]
    ours, _ = totals(stream, room=3)
    assert ours <= (2 + LEAST_MARGIN) * secs[:, first].sum() + 1e-6


def test_a_start_is_due_once_the_jobs_without_it_have_cost_as_much():
    """Each job saves two seconds and the start is ten: five jobs pay, the sixth has it."""
    secs = np.array([[1.0, 9.0, 9.0]] + [[4.0, 2.0, 9.0]] * 20)
    assert course(secs, (10.0, 10.0, 10.0), room=2) == [0] + [0] * 5 + [1] * 15


def test_what_paid_for_one_start_does_not_pay_for_that_of_a_strategy_as_good():
    secs = np.array([[1.0, 9.0, 9.0]] + [[4.0, 2.0, 1.99]] * 40)
    assert set(course(secs, (10.0, 10.0, 10.0), room=3)) == {0, 2}


def test_jobs_better_off_with_the_engine_that_would_go_count_against_its_successor():
    """In turns one strategy is quicker and the other: with room for one, neither is worth a start; with two, it is."""
    secs = np.array([[1.0, 3.0], [3.0, 1.0]] * 40)
    assert set(course(secs, (10.0, 10.0), room=1)) == {0}
    assert set(course(secs, (10.0, 10.0), room=2)) == {0, 1}


def test_of_several_engines_that_would_go_none_serves_the_jobs_of_their_successor():
    state = SelectionState(running="a", resident=("a", "b"), foregone_secs={"c": 8.0})
    predictions = [predicted("a", 1.0), predicted("b", 2.0), predicted("c", 4.0, restart_secs=10.0)]
    for leaving, left in (((), 8.0), (("a",), 7.0), (("a", "b"), 5.0)):
        assert foregone_after(state, predictions, "a", ["a", "b"], leaving) == {"c": left}


def test_a_strategy_that_cannot_run_a_job_keeps_what_it_was_credited_with():
    state = SelectionState(running="a", resident=("a",), foregone_secs={"b": 3.0})
    assert foregone_after(state, [predicted("a", 1.0)], "a", ["a"]) == {"b": 3.0}


def test_no_strategy_is_credited_with_more_than_its_start_nor_one_whose_engine_is_up():
    state = SelectionState(running="a", resident=("a", "b"), foregone_secs={"c": 9.0})
    predictions = [predicted("a", 5.0), predicted("b", 4.0), predicted("c", 1.0, restart_secs=10.0)]
    assert foregone_after(state, predictions, "a", ["a", "b"]) == {"c": 10.0}


def test_a_start_that_may_fail_is_repaid_too_if_later():
    up, wanted = predicted("a", 10.0), predicted("b", 8.0, restart_secs=60.0, p_failure=0.05)
    state = SelectionState(running="a", resident=("a",))
    for _ in range(100):
        if decide([up, wanted], state, {})[0] == 1:
            break
        state = replace(state, foregone_secs=foregone_after(state, [up, wanted], "a", ["a"]))
    else:
        pytest.fail("never started")
    assert state.foregone_secs["b"] == pytest.approx(60.0 * 1.05, rel=LEAST_MARGIN)


def test_what_is_less_known_is_credited_with_no_more_than_it_is_expected_to_save():
    state = SelectionState(running="a", resident=("a",), optimism_ratio={"b": 0.05})
    predictions = [predicted("a", 5.0), predicted("b", 4.0, restart_secs=10.0)]
    assert foregone_after(state, predictions, "a", ["a"]) == {"b": 1.0}


@pytest.mark.parametrize(
    ("foregone", "taken", "code"), [(8.0, "slow", KEPT_RUNNING), (9.5, "quick", FASTEST)]
)
def test_the_reason_says_what_was_foregone(foregone, taken, code):
    predictions = [predicted("quick", 1.0, restart_secs=10.0), predicted("slow", 2.0)]
    state = SelectionState(running="slow", resident=("slow",), foregone_secs={"quick": foregone})
    index, found, reason = decide(predictions, state, {})
    assert (predictions[index].strategy, found) == (taken, code)
    assert f"{foregone:.3g} s" in reason
    assert "its start of 10 s" in reason


def test_a_job_that_needs_no_start_does_not_spend_what_was_foregone():
    state = SelectionState(running=DEFAULT_NAME, resident=(DEFAULT_NAME,), foregone_secs={"quick": 9.9})
    predictions = [predicted(DEFAULT_NAME, 1.0), predicted("quick", 2.0, restart_secs=10.0)]
    assert foregone_after(state, predictions, DEFAULT_NAME, [DEFAULT_NAME]) == {"quick": 9.9}
