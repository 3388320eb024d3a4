"""The rule of the choice, on predictions written by hand."""

from dataclasses import replace
from math import log1p

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf import DEFAULT_NAME, SelectionState
from metainf.learner import margin
from metainf.rule import (
    DEFAULT_AS_GOOD,
    FASTEST,
    KEPT_RUNNING,
    LESS_KNOWN,
    NO_BOUND_FITS,
    ONLY_ONE,
    decide,
    expected_secs,
)
from tests.metainf.makers import predicted

MARGIN = 0.1
SPREADS = {DEFAULT_NAME: 0.0, "other": log1p(MARGIN)}


def decided(predictions, **state):
    index, code, reason = decide(predictions, SelectionState(**state), SPREADS)
    return predictions[index].strategy, code, reason


@pytest.mark.parametrize(
    ("default_secs", "other_secs", "taken", "code"),
    [
        (1.0, 0.5, "other", FASTEST),
        (1.0, 0.96, DEFAULT_NAME, DEFAULT_AS_GOOD),
        (1.0, 0.94, "other", FASTEST),
        (1.0, 1.0, DEFAULT_NAME, FASTEST),
        (1.0, 2.0, DEFAULT_NAME, FASTEST),
    ],
)
def test_default_is_left_only_for_a_clear_gain(default_secs, other_secs, taken, code):
    predictions = [predicted("vllm-default", default_secs), predicted("other", other_secs)]
    assert decided(predictions)[:2] == (taken, code)


def test_the_margin_is_that_of_the_two_compared_and_at_least_five_percent():
    spreads = {DEFAULT_NAME: 0.0, "sure": 0.01, "unsure": log1p(0.3)}
    assert margin(spreads, "sure", DEFAULT_NAME) == 0.05
    assert margin(spreads, "unsure", "sure") == pytest.approx(0.3)
    assert margin(spreads, "never compared", DEFAULT_NAME) == pytest.approx(0.3)
    assert margin({}, "a", "b") == 0.05


@pytest.mark.parametrize(
    ("restart_secs", "taken"),
    [((0.0, 0.001), DEFAULT_NAME), ((0.001, 0.001), "other"), ((0.0, 0.0), "other")],
)
def test_a_gain_within_the_spread_pays_for_no_start_and_is_taken_where_none_is_to_pay(restart_secs, taken):
    default, other = restart_secs
    predictions = [
        predicted(DEFAULT_NAME, 1.0, restart_secs=default),
        predicted("other", 0.93, restart_secs=other),
    ]
    assert decided(predictions)[0] == taken


def test_what_runs_is_kept_within_the_margin_even_against_the_default():
    predictions = [predicted("a", 1.0), predicted("b", 1.05), predicted(DEFAULT_NAME, 1.0)]
    assert decided(predictions, running="b")[:2] == ("b", KEPT_RUNNING)


def test_a_restart_is_paid_only_if_the_queue_repays_it():
    predictions = [predicted("slow", 2.0), predicted("quick", 1.0, restart_secs=10.0)]
    strategy, code, reason = decided(predictions, running="slow", queued_jobs=3)
    assert (strategy, code) == ("slow", KEPT_RUNNING)
    assert reason == (
        "slow runs already: quick would take 1 s a job instead of 2 s, "
        "but 4 jobs do not repay its start of 10 s"
    )
    assert decided(predictions, running="slow", queued_jobs=99)[:2] == ("quick", FASTEST)


def test_a_likely_failure_costs_a_second_attempt():
    risky = predicted("risky", 1.0, restart_secs=10.0, p_failure=0.5)
    assert expected_secs(risky, SelectionState()) == 1.0 + 10.0 + 0.5 * 11.0
    assert decided([risky, predicted("sure", 12.0)])[0] == "sure"
    assert expected_secs(replace(risky, p_failure=0.009), SelectionState()) == 11.0


def test_the_bound_and_not_the_expectation_must_meet_the_budget():
    predictions = [predicted("quick", 1.0, bound_secs=9.0), predicted("steady", 2.0, bound_secs=3.0)]
    assert decided(predictions, budget_secs=5.0)[0] == "steady"
    assert decided(predictions, budget_secs=10.0)[0] == "quick"


def test_a_start_counts_against_the_deadline_and_not_against_the_budget():
    predictions = [predicted("cold", 1.0, restart_secs=10.0), predicted("warm", 3.0)]
    assert decided(predictions, deadline_secs=5.0, queued_jobs=1000, running="warm")[0] == "warm"
    assert decided(predictions, budget_secs=5.0, queued_jobs=1000, running="warm")[0] == "cold"


def test_without_a_bound_that_fits_the_default_is_the_safe_choice():
    predictions = [predicted("quick", 1.0), predicted(DEFAULT_NAME, 4.0)]
    strategy, code, reason = decided(predictions, budget_secs=0.1, deadline_secs=0.2)
    assert (strategy, code) == (DEFAULT_NAME, NO_BOUND_FITS)
    assert "the budget of 0.1 s and the deadline in 0.2 s" in reason
    assert decided(predictions[:1], budget_secs=0.1)[:2] == ("quick", NO_BOUND_FITS)


def test_what_is_less_known_counts_less_in_comparisons_and_nowhere_else():
    predictions = [predicted("known", 1.0), predicted("new", 1.03)]
    assert decided(predictions)[:2] == ("known", FASTEST)
    strategy, code, reason = decided(predictions, optimism_ratio={"new": 0.05})
    assert (strategy, code) == ("new", LESS_KNOWN)
    assert "new (1.03 s a job) is taken, not known (1 s a job)" in reason
    assert decided(predictions, optimism_ratio={"new": 0.02})[:2] == ("known", FASTEST)
    assert decided(predictions, optimism_ratio={"new": 0.05}, budget_secs=1.21)[0] == "known", (
        "its bound is 1.236 s"
    )


def test_what_runs_is_left_for_what_is_less_known_as_if_it_were_quicker():
    predictions = [predicted("kept", 1.04), predicted("new", 1.0)]
    assert decided(predictions, running="kept")[:2] == ("kept", KEPT_RUNNING)
    assert decided(predictions, running="kept", optimism_ratio={"new": 0.02})[:2] == ("new", LESS_KNOWN)


def test_a_start_costs_the_less_known_as_much_as_others():
    predictions = [predicted("up", 1.0), predicted("new", 1.0, restart_secs=0.5)]
    assert decided(predictions, optimism_ratio={"new": 0.06})[0] == "up"


def test_what_counts_less_takes_nothing_that_is_no_less_known():
    """The best with its wide spread is a start away; without it the quicker of the two that are up is taken."""
    predictions = [
        predicted("quick", 1.0),
        predicted("running", 1.06),
        predicted("away", 1.0, restart_secs=0.03),
    ]
    state = SelectionState(running="running", resident=("quick", "running"))
    taken = decide(predictions, state, {"away": 0.3})
    assert predictions[taken[0]].strategy == "quick"
    assert decide(predictions, replace(state, optimism_ratio={"away": 0.05}), {"away": 0.3}) == taken


def test_a_single_candidate_says_so():
    assert decided([predicted("only", 1.0)])[:2] == ("only", ONLY_ONE)


secs = st.floats(0.01, 100)
tables = st.lists(st.tuples(secs, secs, st.floats(0, 0.9), st.floats(1.0, 3.0)), min_size=1, max_size=8).map(
    lambda rows: [
        predicted(f"s{i}", total, restart_secs=restart, p_failure=p, bound_secs=total * factor)
        for i, (total, restart, p, factor) in enumerate(rows)
    ]
)


@given(tables, secs, st.integers(0, 50))
def test_whenever_some_bound_fits_the_choice_fits_and_is_within_the_margin_of_the_best(table, budget, queued):
    state = SelectionState(budget_secs=budget, queued_jobs=queued)
    index, code, _ = decide(table, state, SPREADS)
    fitting = [prediction for prediction in table if prediction.bound_secs <= budget]
    assert (code == NO_BOUND_FITS) == (not fitting)
    if fitting:
        assert table[index].bound_secs <= budget
        best = min(expected_secs(prediction, state) for prediction in fitting)
        assert expected_secs(table[index], state) <= best * (1 + MARGIN)
