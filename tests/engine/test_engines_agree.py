"""vLLM and transformers share no code; on the same weights in float32 they must say the same."""

import pytest

from engine.base import EngineConfig, GenerationRequest, Sampling
from engine.child import ChildEngine
from engine.tokenizer import Tokenizer
from tests.engine.conftest import Running
from tests.engine.support import (
    MARGIN,
    MODEL_DIR,
    START_SECS,
    VLLM_ARGS,
    ask,
    generate,
    group_members,
    until,
)

pytestmark = pytest.mark.slow

SAMPLED = Sampling(temperature=2.0, top_p=0.95, seed=7)


@pytest.fixture
def requests(vllm: Running, tokenizer: Tokenizer) -> list[GenerationRequest]:
    chats = [
        [{"role": "user", "content": text}]
        for text in ("47+85=?", "sort(52914)=?", "Tell a story of 3 days about Ana.")
    ]
    prompts = [
        vllm.long_prompt,
        *(tokenizer.encode_chat(chat) for chat in chats),
        tokenizer.encode_prompt("Once upon a time"),
    ]
    return [ask(prompt, max_tokens=64) for prompt in prompts]


def test_vllm_and_transformers_generate_the_same_tokens(
    vllm: Running, transformers: Running, requests: list[GenerationRequest]
):
    ours, theirs = generate(vllm.engine, *requests), generate(transformers.engine, *requests)
    assert [ours.tokens(item) for item in requests] == [theirs.tokens(item) for item in requests]
    for item in requests:
        reasons = {heard.completions[item.request_id].finish_reason for heard in (ours, theirs)}
        assert len(reasons) == 1


def test_each_checks_the_tokens_of_the_other(
    vllm: Running, transformers: Running, requests: list[GenerationRequest]
):
    heard = generate(vllm.engine, *requests)
    sequences = [(item.request_id, item.prompt_token_ids, heard.tokens(item)) for item in requests]
    ours, theirs = vllm.engine.prefill_check(sequences), transformers.engine.prefill_check(sequences)
    for one, other in zip(ours, theirs, strict=True):
        assert one.best_token_ids == other.best_token_ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=MARGIN)


def test_the_prefix_cache_is_hit_and_changes_no_check(vllm: Running):
    prefix = tuple(40 + index % 700 for index in range(256))
    requests = [ask((*prefix, 10 + index), max_tokens=4) for index in range(8)]
    before = vllm.engine.metrics().prefix_hit_tokens
    heard = generate(vllm.engine, *requests)
    heard = generate(vllm.engine, *requests)
    assert vllm.engine.metrics().prefix_hit_tokens - before >= 8 * 256
    for check in vllm.engine.prefill_check(
        [(item.request_id, item.prompt_token_ids, heard.tokens(item)) for item in requests]
    ):
        assert check.logprobs == pytest.approx(check.best_logprobs, abs=MARGIN)


def test_a_seed_decides_a_sampled_output(vllm: Running):
    same = [ask(vllm.long_prompt, 32, SAMPLED) for _ in range(3)]
    other = ask(vllm.long_prompt, 32, Sampling(temperature=2.0, top_p=0.95, seed=8))
    heard = generate(vllm.engine, *same, other)
    assert len({heard.tokens(item) for item in same}) == 1
    assert heard.tokens(other) != heard.tokens(same[0])


def test_another_strategy_changes_no_token(vllm: Running, requests: list[GenerationRequest]):
    """N-gram speculation, prefills split into pieces of 64 tokens, and no prefix cache."""
    long_prompt = tuple(40 + index % 300 for index in range(500))
    seeded = [ask(long_prompt, 16, SAMPLED), ask(long_prompt[:90], 16, SAMPLED)]
    greedy = [*requests, ask(long_prompt, max_tokens=24)]
    expected = generate(vllm.engine, *greedy)
    config = EngineConfig(
        MODEL_DIR,
        {
            **VLLM_ARGS,
            "enable_prefix_caching": False,
            "max_num_batched_tokens": 64,
            "speculative_config": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3},
        },
    )
    engine = ChildEngine("vllm", config)
    try:
        engine.start(START_SECS)
        heard = generate(engine, *greedy)
        assert [heard.tokens(item) for item in greedy] == [expected.tokens(item) for item in greedy]
        assert engine.metrics().accepted_tokens > 0
        # Seeded and split: the case in which a plain vLLM on a CPU dies.
        sampled = generate(engine, *seeded)
        assert all(sampled.completions[item.request_id].error is None for item in seeded)
        group = engine.pid
        assert group is not None
    finally:
        engine.stop()
    until(lambda: not group_members(group), "stop left processes")
