"""What jobs that ran say of others: how far a residual carries, and to which strategies."""

import random
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf.alike import places
from metainf.corrector import MOST_ERROR, PRIOR, REMEMBERED_JOBS, Corrections, Corrector, covariances
from metainf.online import Residual
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES
from tests.metainf.test_online import WORK

HERE, NEAR, FAR = (0.0, 0.0), (0.05, 0.0), (9.0, 9.0)
SETTINGS = {"a": (0.0, 0.0), "like-a": (0.1, 0.0), "b": (30.0, 30.0)}


def ran(strategy, log_ratio, at=0.0, workload=HERE):
    return Residual("cpu", "small", strategy, "1", log_ratio, at, workload, SETTINGS[strategy])


def corrections(jobs, workload=HERE):
    return Corrector.of(jobs).corrections(workload, SETTINGS).log


def optimism(jobs):
    return Corrector.of(jobs).corrections(HERE, SETTINGS).optimism_ratio


def test_nothing_run_corrects_nothing():
    assert corrections([]) == {}
    assert Corrector(()).mean(ran("a", 0.3)) == 0.0


def test_a_residual_that_is_no_number_says_nothing_and_nobody_asked_about_gets_nothing():
    sound = ran("a", 0.4)
    assert corrections([sound, ran("b", float("nan"), 1.0), ran("b", float("-inf"), 2.0)]) == corrections(
        [sound]
    )
    assert Corrector.of([sound]).corrections(HERE, {}) == Corrections({}, {})


def test_a_job_says_most_of_what_is_like_it():
    here, near, far = (
        Corrector.of([ran("a", 0.4)]).mean(ran("a", 0, 1, where)) for where in (HERE, NEAR, FAR)
    )
    assert 0.4 > here > near > far > 0
    found = corrections([ran("a", 0.4)])
    assert found["a"] > found["like-a"] > found["b"]
    assert found[""] < found["a"]


def test_the_mean_is_that_of_a_normal_distribution_given_the_jobs():
    rng = random.Random(3)
    jobs = [
        ran(rng.choice("ab"), rng.gauss(0, 0.2), at, (rng.uniform(0, 2), rng.uniform(0, 2)))
        for at in range(12)
    ]
    asked = ran("like-a", 0.0, 99, (1.0, 1.0))
    every = [*jobs, asked]
    joint = covariances(
        np.array([each.workload for each in every]), np.array([each.settings for each in every]), PRIOR
    )
    among = joint[:-1, :-1] + PRIOR.noise**2 * np.eye(len(jobs))
    expected = joint[-1, :-1] @ np.linalg.solve(among, [each.log_ratio for each in jobs])
    assert Corrector.of(jobs).mean(asked) == pytest.approx(expected, abs=1e-9)
    assert joint[-1, -1] == pytest.approx(PRIOR.variance)


def test_only_a_second_strategy_tells_slow_work_from_a_slow_strategy():
    slow = [ran("a", 0.4, at) for at in range(3)]
    alone = corrections(slow)
    assert alone["b"] > 0.05, "part of it may be the work itself"
    both = corrections([*slow, ran("b", 0.0, 3), ran("b", 0.0, 4)])
    assert both["a"] == pytest.approx(0.4, abs=0.02)
    assert both["b"] == pytest.approx(0.0, abs=0.02)


def test_of_two_that_look_alike_the_less_known_is_preferred_by_no_more_than_a_margin():
    found = optimism([ran("a", 0.0, at) for at in range(50)])
    assert "a" not in found
    assert 0.06 > found["b"] > found["like-a"] > 0.0
    shown = optimism([ran(name, 0.0, at) for at in range(50) for name in "ab"])
    assert shown.get("b", 0.0) == pytest.approx(0.0, abs=1e-3)


def test_what_is_less_known_is_expected_to_take_what_the_jobs_say_and_no_less():
    found = corrections([ran("a", 0.0, at) for at in range(50)])
    assert found == {"": 0.0, "a": 0.0, "like-a": 0.0, "b": 0.0}
    assert optimism([]) == {}


def test_a_stuck_machine_pulls_no_harder_the_longer_it_was_stuck():
    usual = [ran("a", 0.0, at) for at in range(10)]
    once, longer = (corrections([*usual, ran("a", stuck, 10)])["a"] for stuck in (MOST_ERROR, 50.0))
    assert once == longer
    assert 0 < once < 0.05
    agreed = corrections([ran("a", 1.0, at) for at in range(10)])
    assert agreed["a"] == pytest.approx(1.0, abs=0.05), "where all agree nothing is odd"


def test_older_jobs_are_forgotten():
    old, new = (
        [ran("a", 1.0, at) for at in range(50)],
        [ran("a", 0.1, 50 + at) for at in range(REMEMBERED_JOBS)],
    )
    assert corrections(old + new) == corrections(new)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(-3, 3), st.floats(0, 9)),
        max_size=12,
        unique_by=lambda job: (job[0], job[2]),
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_jobs_does_not_matter(jobs, rng):
    run = [ran(strategy, ratio, at, (at, 0.0)) for strategy, ratio, at in jobs]
    shuffled = list(run)
    rng.shuffle(shuffled)
    assert corrections(shuffled) == corrections(run)
    assert Corrector.of(shuffled) == Corrector.of(run)


def test_strategies_of_the_catalogue_stand_where_their_settings_differ():
    where = {each.name: places(MODEL, MACHINE, WORK, each) for each in STRATEGIES}
    assert len({workload for workload, _ in where.values()}) == 1
    assert len({settings for _, settings in where.values()}) == len(STRATEGIES)

    def apart(one, other):
        return sqrt(sum((a - b) ** 2 for a, b in zip(where[one][1], where[other][1], strict=True)))

    assert apart("ngram-4", "ngram-8") < apart("ngram-4", "vllm-default")
