"""Learning from jobs that were run: corrections, versions that drift, challengers, exploration."""

import random
from collections import Counter
from dataclasses import replace
from math import log

import pytest

from metainf import Prediction, SelectionRecord, SelectionState, Selector, Workload
from metainf.explore import LOTS, Exploration
from metainf.online import (
    LEAST_JUDGED_JOBS,
    Residual,
    drifted,
    judge,
    model_family,
    still_valid,
)
from metainf.rule import EXPLORED, decide, expected_secs, explore
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES

SELECTOR = Selector.load()
WORK = Workload.from_token_ids([[7, 8, 9] * 20] * 6, [12] * 6)
UP = SelectionState(resident=tuple(strategy.name for strategy in STRATEGIES))


def residual(strategy="a", log_ratio=0.0, version="1", at=0.0):
    return Residual("cpu", "small", strategy, version, log_ratio, at, (0.0,), (0.0,))


def predicted(strategy, total_secs, restart_secs=0.0):
    return Prediction(
        strategy, total_secs, total_secs / 2, total_secs / 2, total_secs * 1.2, 0.0, restart_secs
    )


def test_an_engine_that_became_slower_is_told_from_noise():
    rng = random.Random(0)
    before = [rng.gauss(0, 0.05) for _ in range(30)]
    assert not drifted(before, [rng.gauss(0, 0.05) for _ in range(30)])
    assert drifted(before, [rng.gauss(0.2, 0.05) for _ in range(30)])
    assert not drifted(before, [0.5] * 3), "three jobs prove nothing"


def test_noise_is_called_drift_hardly_ever():
    rng = random.Random(1)

    def batch():
        return [rng.gauss(0, 0.1) for _ in range(12)]

    assert sum(drifted(batch(), batch()) for _ in range(1000)) < 20


def test_what_an_old_version_taught_is_dropped_only_if_the_new_one_differs():
    old = [residual(log_ratio=0.01 * (at % 3), version="1", at=at) for at in range(20)]
    same = [residual(log_ratio=0.01 * (at % 3), version="2", at=100 + at) for at in range(20)]
    slower = [replace(each, log_ratio=each.log_ratio + 0.5) for each in same]
    assert len(still_valid(old + same)) == 40
    assert still_valid(slower + old) == slower


def test_a_challenger_is_promoted_only_if_better_beyond_chance():
    rng = random.Random(2)
    errors = [rng.gauss(0, 0.2) for _ in range(60)]
    assert judge(errors, [error / 3 for error in errors]).promoted
    assert not judge(errors, [rng.gauss(0, 0.2) for _ in range(60)]).promoted
    assert not judge(errors, [error * 2 for error in errors]).promoted
    few = judge(errors[: LEAST_JUDGED_JOBS - 1], [0.0] * (LEAST_JUDGED_JOBS - 1))
    assert not few.promoted
    assert "decide nothing" in few.sentence()
    assert not judge([], []).promoted


def test_lots_explore_as_often_as_said_and_propensities_are_true():
    share = 200_000
    taken = Counter(
        (index, propensity)
        for lot in range(0, LOTS, 100)
        for index, propensity in [Exploration(share, lot).pick(0, [1, 2])]
    )
    for (_, propensity), count in taken.items():
        assert count / (LOTS / 100) == pytest.approx(propensity, abs=1e-3)
    assert {index for index, _ in taken} == {0, 1, 2}


def test_only_what_costs_little_more_is_tried():
    predictions = [
        predicted("best", 1.0),
        predicted("near", 1.2),
        predicted("far", 2.0),
        predicted("cold", 1.0, 9.0),
    ]
    always = SelectionState(exploration=Exploration(LOTS, 0))
    found = explore(predictions, always, 0)
    assert (found.index, found.propensity) == (1, 1.0)
    assert "learn" in found.reason
    assert explore(predictions, SelectionState(), 0).index == 0


def test_nothing_is_tried_near_a_deadline():
    predictions = [predicted("best", 1.0), predicted("near", 1.2)]
    for deadline_secs, tried in ((2.0, 0), (60.0, 1)):
        state = SelectionState(exploration=Exploration(LOTS, 0), deadline_secs=deadline_secs)
        best, _, _ = decide(predictions, state, {})
        assert explore(predictions, state, best).index == tried


def test_a_correction_moves_the_prediction_and_can_turn_the_choice():
    plain = SELECTOR.select(MODEL, MACHINE, WORK, UP, STRATEGIES)
    said = {each.strategy: each for each in plain.predictions}
    state = replace(UP, corrections_log={plain.strategy.name: log(3), "": 0.0})
    choice = SELECTOR.select(MODEL, MACHINE, WORK, state, STRATEGIES)
    now = {each.strategy: each for each in choice.predictions}
    name = plain.strategy.name
    assert now[name].total_secs == pytest.approx(3 * said[name].total_secs, rel=1e-4)
    assert now[name].bound_secs == pytest.approx(3 * said[name].bound_secs, rel=1e-4)
    assert choice.strategy.name != name


def test_a_corrected_and_exploring_choice_is_replayed_from_its_record():
    state = replace(UP, corrections_log={"": 0.25}, exploration=Exploration(LOTS // 2, 123_456))
    choice = SELECTOR.select(MODEL, MACHINE, WORK, state, STRATEGIES)
    assert choice.reason_code == EXPLORED
    assert 0 < choice.record.propensity < 1
    record = SelectionRecord.from_json(choice.record.to_json())
    assert SELECTOR.replay(record) == choice
    best = min(choice.predictions, key=lambda each: expected_secs(each, state))
    taken = next(each for each in choice.predictions if each.strategy == choice.strategy.name)
    assert expected_secs(taken, state) <= 1.25 * expected_secs(best, state) * 1.3


def test_models_of_one_shape_are_a_family():
    assert model_family(MODEL) == model_family(replace(MODEL, random_weights=False))
    assert model_family(MODEL) != model_family(replace(MODEL, layers=9))
