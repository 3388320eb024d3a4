"""Facts about models, machines and workloads: exact where they count, the same whoever counts."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf import HardwareFacts, ModelFacts, Workload
from metainf.errors import ModelUnreadable
from metainf.overlap import SHARING_BLOCKS

token = st.integers(0, 3)
batches = st.lists(
    st.tuples(st.lists(token, min_size=1, max_size=40), st.integers(1, 9)), min_size=1, max_size=8
)


def counted(batch):
    return Workload.from_token_ids([prompt for prompt, _ in batch], [limit for _, limit in batch])


@given(batches, st.randoms(use_true_random=False))
def test_order_of_requests_does_not_matter(batch, rng):
    shuffled = batch.copy()
    rng.shuffle(shuffled)
    assert counted(shuffled) == counted(batch)


@given(batches)
def test_shared_tokens_are_what_a_block_cache_would_hit(batch):
    prompts = sorted(tuple(prompt) for prompt, _ in batch)
    for block, shared in zip(SHARING_BLOCKS, counted(batch).shared_tokens, strict=True):
        cache, hits = set(), 0
        for prompt in prompts:
            cached = 0
            while cached + block <= len(prompt) - 1 and prompt[: cached + block] in cache:
                cached += block
            hits += cached
            cache |= {prompt[:end] for end in range(block, len(prompt) + 1, block)}
        assert shared == hits


@given(batches)
def test_ratios_stay_between_zero_and_one(batch):
    workload = counted(batch)
    assert 0 <= workload.shared_prefix_ratio < 1
    assert 0 <= workload.ngram_overlap <= 1
    assert sorted(workload.prompt_quantiles) == list(workload.prompt_quantiles)


def test_sharing_is_counted_in_whole_blocks():
    prefix = list(range(100))
    workload = Workload.from_token_ids([[*prefix, 500 + i, 600 + i] for i in range(5)], [4] * 5)
    assert workload.shared_tokens == (400, 4 * 96, 4 * 96, 4 * 64, 0)
    assert workload.shared_in_blocks(32) == 4 * 96
    assert workload.shared_in_blocks(48) == 4 * 64
    assert workload.shared_in_blocks(256) == 0


def test_looping_text_has_more_repeated_trigrams_than_random_text():
    rng = random.Random(0)
    looping = Workload.from_token_ids([[1, 2, 3, 4, 5, 6] * 20], [8])
    varied = Workload.from_token_ids([[rng.randrange(50_000) for _ in range(120)]], [8])
    assert looping.ngram_overlap > 0.9
    assert varied.ngram_overlap < 0.01


@pytest.mark.parametrize(("prompts", "limits"), [([], []), ([[1]], []), ([[1], [2]], [1])])
def test_a_batch_without_one_limit_per_prompt_is_refused(prompts, limits):
    with pytest.raises(ValueError, match="one length for each prompt"):
        Workload.from_token_ids(prompts, limits)


def test_model_without_weights_is_counted_from_its_shape(model: ModelFacts):
    attention, feed_forward, norms = 64 * 32 * 8, 3 * 64 * 128, 2 * 64
    assert model.parameters == 2 * (attention + feed_forward + norms) + 64 + 2 * 512 * 64
    assert model.random_weights
    assert model.kv_bytes_per_token == 2 * 2 * 2 * 32 * 4


def test_stored_weights_are_counted_from_their_headers(tiny_model_dir: Path, tmp_path: Path):
    import numpy as np
    from safetensors.numpy import save_file

    (tmp_path / "config.json").write_text((tiny_model_dir / "config.json").read_text())
    save_file({"a": np.zeros((3, 5), np.float32)}, tmp_path / "one.safetensors")
    save_file({"b": np.zeros((7,), np.float32)}, tmp_path / "two.safetensors")
    facts = ModelFacts.from_dir(tmp_path)
    assert facts.parameters == 3 * 5 + 7
    assert facts.weight_bytes_per_param == 4
    assert not facts.random_weights


@pytest.mark.parametrize(
    "stored", [b"", b"\x10" + bytes(7) + b'{"a"', b"\x02" + bytes(7) + b"[]", bytes([255] * 8) + b"{}"]
)
def test_weights_that_are_cut_short_or_of_another_kind_are_named(
    stored, tiny_model_dir: Path, tmp_path: Path
):
    (tmp_path / "config.json").write_text((tiny_model_dir / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(stored)
    with pytest.raises(ModelUnreadable, match=r"METAINF-001.*model\.safetensors.*cut short"):
        ModelFacts.from_dir(tmp_path)


@pytest.mark.parametrize("config", [None, "no json", "[]", '{"hidden_size": "many"}', '{"hidden_size": 64}'])
def test_unreadable_model_is_named(config, tmp_path: Path):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelUnreadable, match=r"METAINF-001.*config\.json"):
        ModelFacts.from_dir(tmp_path)


def test_this_machine_can_be_measured():
    here = HardwareFacts.detect(kv_cache_bytes=1 << 20)
    assert here.cores >= 1
    assert here.kv_cache_bytes == 1 << 20
    assert 10**9 < here.memory_bytes_per_s < 10**13
    assert 10**9 < here.peak_flops < 10**15
    with pytest.raises(ValueError, match="only 'cpu'"):
        HardwareFacts.detect("cuda")
