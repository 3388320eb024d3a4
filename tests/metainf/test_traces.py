"""Traffic has the shapes its sources say, fits the window, and is the same wherever it is drawn."""

from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf import Workload
from metainf.traces import FAMILIES, LARGE_REPLAYS, SMALL_REPLAYS, TRACES, Replay
from metainf.workloads import FIRST_ID

EVERY = [(replay, 1024, 4096) for replay in SMALL_REPLAYS] + [
    (replay, 8192, 32000) for replay in LARGE_REPLAYS
]


def counted(replay, seed=0, vocab=4096, window=1024):
    batch = replay.draw(seed, vocab, window)
    return Workload.from_token_ids(batch.prompts, batch.max_tokens, batch.concurrency)


def test_every_family_is_played_small_and_large_and_every_trace_names_its_source():
    assert {trace.family for trace in TRACES} == set(FAMILIES)
    for replays in (SMALL_REPLAYS, LARGE_REPLAYS):
        assert {replay.family for replay in replays} == set(FAMILIES)
        assert len({replay.name for replay in replays}) == len(replays)
    assert len(LARGE_REPLAYS) >= 24
    assert all(
        trace.source and any(digit.isdigit() for digit in trace.source + trace.assumed) for trace in TRACES
    )


@pytest.mark.parametrize(
    ("replay", "window", "vocab"), EVERY, ids=lambda value: getattr(value, "name", str(value))
)
def test_a_replay_fits_the_window_and_the_vocabulary_and_draws_alike(replay, window, vocab):
    batch = replay.draw(3, vocab, window)
    assert batch == replay.draw(3, vocab, window)
    assert len(batch.prompts) == len(batch.max_tokens) == replay.sessions * replay.turns
    for prompt, output in zip(batch.prompts, batch.max_tokens, strict=True):
        assert len(prompt) >= 1
        assert output >= 1
        assert len(prompt) + output <= window
        assert min(prompt) >= FIRST_ID
        assert max(prompt) < vocab
    assert batch.prompts != replay.draw(4, vocab, window).prompts


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_typical_lengths_are_the_sources_times_the_scale(trace):
    replay = Replay("r", trace, 0.1, sessions=200)
    batch = replay.draw(0, 4096, 1 << 20)
    own = median(map(len, batch.prompts)) - round(0.1 * trace.shared_tokens)
    assert own == pytest.approx(0.1 * trace.own_tokens, rel=0.2, abs=2)
    assert median(batch.max_tokens) == pytest.approx(max(0.1 * trace.output_tokens, 1), rel=0.2, abs=1)


def test_the_next_turn_of_a_session_repeats_all_that_was_said():
    replay = next(replay for replay in SMALL_REPLAYS if replay.name == "agent-one-session")
    prompts = replay.draw(0, 4096, 1024).prompts
    for before, after in pairwise(prompts):
        assert after[: len(before)] == before
        assert len(after) > len(before)
    assert counted(replay).shared_prefix_ratio > 0.7


def test_requests_of_a_group_share_its_prefix_and_those_of_others_do_not():
    one = Replay("one", SMALL_REPLAYS[7].trace, 0.25, sessions=12)
    apart = Replay("apart", SMALL_REPLAYS[7].trace, 0.25, sessions=12, groups=12)
    assert counted(one).shared_prefix_ratio > 0.6
    assert counted(apart).shared_prefix_ratio < 0.05


def test_code_repeats_itself_and_chat_does_not():
    by_name = {replay.name: counted(replay) for replay in SMALL_REPLAYS}
    assert by_name["code-azure-one"].ngram_overlap > 0.2
    assert by_name["chat-sharegpt-one"].ngram_overlap < 0.02


@given(st.sampled_from(SMALL_REPLAYS), st.integers(0, 1000))
def test_as_many_run_at_once_as_the_replay_says(replay, seed):
    at_once = replay.concurrency or replay.sessions * replay.turns
    assert counted(replay, seed).concurrency == at_once
