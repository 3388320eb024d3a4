"""Features are finite, named and follow the physics they stand for."""

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf import DEFAULT_NAME, Workload, features
from metainf.roofline import Roofline
from metainf.settings import Settings
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES

workloads = st.lists(
    st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 50)),
    min_size=1,
    max_size=10,
).map(lambda batch: Workload.from_token_ids([p for p, _ in batch], [n for _, n in batch]))


def plan_of(name: str, workload: Workload):
    strategy = next(strategy for strategy in STRATEGIES if strategy.name == name)
    return Roofline(MODEL, MACHINE, workload).plan(Settings.of(strategy))


@given(workloads, st.sampled_from(STRATEGIES))
def test_every_feature_is_finite_and_always_has_the_same_name_and_place(workload, strategy):
    named = features(MODEL, MACHINE, workload, strategy)
    assert all(isfinite(value) for value in named.values())
    fixed = features(MODEL, MACHINE, Workload.from_token_ids([[1]], [1]), STRATEGIES[0])
    assert tuple(named) == tuple(fixed)


@given(workloads)
def test_smaller_blocks_never_compute_more_of_the_prompts(workload):
    small, large = plan_of("block-32", workload), plan_of(DEFAULT_NAME, workload)
    assert small.prefill_tokens <= large.prefill_tokens <= plan_of("paper-batching", workload).prefill_tokens


@given(workloads)
def test_one_request_at_a_time_takes_at_least_as_many_steps(workload):
    alone, together = plan_of("seqs-1", workload), plan_of(DEFAULT_NAME, workload)
    assert alone.decode_steps >= together.decode_steps
    assert alone.total_secs >= together.total_secs


def test_roofline_of_a_hand_counted_batch():
    # Four prompts of 100 tokens with nothing in common, one output token each: one step of 400 tokens.
    workload = Workload.from_token_ids([[i] * 100 for i in range(4)], [1] * 4)
    expected = plan_of(DEFAULT_NAME, workload)
    body = MODEL.parameters - 2 * MODEL.vocab * MODEL.hidden
    flops = 2 * (body * 400 + MODEL.vocab * MODEL.hidden * 4)
    assert expected.prefill_steps == 1
    assert expected.decode_steps == 0
    assert expected.prefill_secs == pytest.approx(0.003 + flops / MACHINE.peak_flops)
    assert expected.decode_secs == 0
