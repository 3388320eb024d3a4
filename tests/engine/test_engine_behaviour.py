"""What every engine does alike: the fake one, transformers and vLLM, each in its child process."""

from dataclasses import replace

import pytest

from engine.base import ABORTED, DuplicateRequest, GenerationRequest, Sampling
from engine.tokenizer import Tokenizer
from tests.engine.conftest import Running
from tests.engine.support import LONG_ANSWER, MARGIN, ask, first_progress, generate, hear

PROMPT = tuple(range(20, 60))
SUM = [{"role": "user", "content": "47+85=?"}]


@pytest.fixture
def long_request(running: Running) -> GenerationRequest:
    """Takes long enough for the test to do something meanwhile."""
    if running.kind == "vllm":
        # Rewarded for repeating itself, the model never comes to an end.
        return ask(running.long_prompt, max_tokens=250, sampling=Sampling(frequency_penalty=-2.0))
    return ask(running.long_prompt, max_tokens=LONG_ANSWER)


@pytest.fixture
def greedy_request(running: Running) -> GenerationRequest:
    return ask(running.long_prompt, max_tokens=40)


def test_facts_name_the_engine_that_came_up(running: Running, tokenizer: Tokenizer):
    facts = running.facts
    assert facts.engine == running.kind
    assert facts.max_model_len == tokenizer.model_max_len
    assert facts.dtype == ("none" if running.kind == "fake" else "float32")
    assert facts.version
    assert facts.attention_backend
    assert facts.environment["OMP_NUM_THREADS"] == "1" or len(facts.environment["PYTHONHASHSEED"]) == 1
    assert facts.start_secs > 0


def test_facts_of_two_starts_have_one_digest(running: Running):
    again = replace(running.facts, start_secs=running.facts.start_secs + 1)
    assert again.digestible() == running.facts.digestible()
    assert replace(running.facts, dtype="int4").digestible() != running.facts.digestible()


def test_every_request_completes_once_and_its_progress_adds_up(running: Running):
    requests = [ask(running.long_prompt[index % 4 :], max_tokens=5 + index) for index in range(12)]
    heard = generate(running.engine, *requests)
    for request in requests:
        completion = heard.completions[request.request_id]
        streamed = tuple(token for part in heard.progress[request.request_id] for token in part)
        assert completion.error is None
        assert streamed == completion.token_ids
        assert 1 <= len(completion.token_ids) <= request.max_tokens
        assert completion.prompt_tokens == len(request.prompt_token_ids)


def test_max_tokens_ends_an_output_as_length(running: Running, greedy_request: GenerationRequest):
    request = replace(greedy_request, request_id="bounded", max_tokens=7)
    completion = generate(running.engine, request).completions["bounded"]
    assert len(completion.token_ids) == 7
    assert completion.finish_reason == "length"


def test_an_end_of_sequence_token_ends_an_output_as_stop_and_is_part_of_it(
    running: Running, tokenizer: Tokenizer
):
    request = ask(tokenizer.encode_chat(SUM), max_tokens=500)
    completion = generate(running.engine, request).completions[request.request_id]
    assert completion.finish_reason == "stop"
    assert completion.token_ids[-1] in tokenizer.eos_token_ids
    assert not tokenizer.eos_token_ids & set(completion.token_ids[:-1])


def test_times_are_in_order(running: Running):
    request = ask(PROMPT, max_tokens=8)
    completion = generate(running.engine, request).completions[request.request_id]
    assert completion.first_token_at is not None
    assert completion.submitted_at <= completion.first_token_at <= completion.finished_at


def test_tokens_of_a_long_output_arrive_while_it_is_generated(
    running: Running, long_request: GenerationRequest
):
    heard = generate(running.engine, long_request)
    parts = heard.progress[long_request.request_id]
    assert len(parts) >= 3
    assert max(len(part) for part in parts) < len(heard.tokens(long_request))


def test_an_output_is_the_same_alone_and_among_others(running: Running):
    alone = ask(running.long_prompt, max_tokens=24)
    among = [ask((*PROMPT[: 5 * index], *running.long_prompt), max_tokens=24) for index in range(6)]
    expected = generate(running.engine, alone).tokens(alone)
    assert generate(running.engine, *among).tokens(among[0]) == expected


def test_a_request_submitted_while_others_generate_overtakes_them(
    running: Running, long_request: GenerationRequest
):
    running.engine.submit([long_request])
    heard = first_progress(running.engine, long_request)
    short = ask(PROMPT, max_tokens=2)
    running.engine.submit([short])
    hear(running.engine, [long_request, short], heard)
    assert heard.order == [short.request_id, long_request.request_id]


def test_an_aborted_request_ends_with_what_it_has_and_others_go_on(
    running: Running, long_request: GenerationRequest
):
    other = ask(running.long_prompt, max_tokens=30)
    whole = generate(running.engine, other, replace(long_request, request_id="whole"))
    repeated = replace(other, request_id="repeated")
    running.engine.submit([long_request, repeated])
    heard = first_progress(running.engine, long_request)
    running.engine.abort([long_request.request_id, "never submitted"])
    hear(running.engine, [long_request, repeated], heard)
    aborted = heard.completions[long_request.request_id]
    assert (aborted.finish_reason, aborted.error) == ("error", ABORTED)
    full = whole.completions["whole"].token_ids
    assert 0 < len(aborted.token_ids) < len(full)
    assert aborted.token_ids == full[: len(aborted.token_ids)]
    assert heard.tokens(repeated) == whole.tokens(other)


def test_an_id_may_be_used_again_only_after_its_completion(running: Running, long_request: GenerationRequest):
    running.engine.submit([long_request])
    with pytest.raises(DuplicateRequest, match=long_request.request_id):
        running.engine.submit([ask(PROMPT), long_request])
    first = hear(running.engine, [long_request])
    assert len(first.completions) == 1, "the refused submission was queued in part"
    again = generate(running.engine, long_request)
    assert again.tokens(long_request) == first.tokens(long_request)


def test_unservable_requests_end_as_errors_that_say_why_and_others_are_served(
    running: Running, tokenizer: Tokenizer
):
    unservable = {
        "prompt has 2048 tokens": ask([5] * tokenizer.model_max_len),
        "prompt is empty": ask([]),
        "token id 999999": ask([5, 999_999]),
        "max_tokens is 0": ask(PROMPT, max_tokens=0),
        "temperature is -1": ask(PROMPT, sampling=Sampling(temperature=-1.0)),
        "top_p is 0": ask(PROMPT, sampling=Sampling(top_p=0.0)),
        "seed is -1": ask(PROMPT, sampling=Sampling(temperature=1.0, seed=-1)),
    }
    good = ask(PROMPT, max_tokens=3)
    heard = generate(running.engine, *unservable.values(), good)
    assert heard.completions[good.request_id].error is None
    for reason, request in unservable.items():
        completion = heard.completions[request.request_id]
        assert completion.finish_reason == "error"
        assert completion.token_ids == ()
        assert reason in str(completion.error)
        assert "\n" not in str(completion.error)


def test_an_output_may_fill_the_window_and_no_more(running: Running, tokenizer: Tokenizer):
    prompt = [40 + index % 900 for index in range(tokenizer.model_max_len - 3)]
    request = ask(prompt, max_tokens=50)
    completion = generate(running.engine, request).completions[request.request_id]
    assert (completion.finish_reason, len(completion.token_ids)) in (
        ("length", 3),
        ("stop", 3),
        ("stop", 2),
        ("stop", 1),
    )
    (check,) = running.engine.prefill_check([("full", tuple(prompt), completion.token_ids)])
    assert len(check.logprobs) == len(completion.token_ids)


def test_a_prefill_check_finds_greedy_outputs_to_be_the_likeliest(running: Running):
    requests = [ask(running.long_prompt[index % 3 :], max_tokens=1 + 3 * index) for index in range(6)]
    heard = generate(running.engine, *requests)
    sequences = [(item.request_id, item.prompt_token_ids, heard.tokens(item)) for item in requests]
    checks = running.engine.prefill_check(sequences)
    assert [check.request_id for check in checks] == [item.request_id for item in requests]
    for check, (_, _, output) in zip(checks, sequences, strict=True):
        assert len(check.logprobs) == len(check.best_logprobs) == len(check.best_token_ids) == len(output)
        worst = max(best - own for best, own in zip(check.best_logprobs, check.logprobs, strict=True))
        assert 0 <= worst < MARGIN


@pytest.mark.parametrize("position", [0, 5, 11])
def test_a_prefill_check_shows_a_tampered_token_where_it_stands(
    running: Running, greedy_request: GenerationRequest, position: int
):
    request = replace(greedy_request, max_tokens=12)
    output = generate(running.engine, request).tokens(request)
    tampered = list(output)
    tampered[position] = 900 if output[position] != 900 else 901
    (honest, check) = running.engine.prefill_check(
        [
            ("honest", request.prompt_token_ids, output),
            ("tampered", request.prompt_token_ids, tuple(tampered)),
        ]
    )
    assert honest.best_logprobs[position] - honest.logprobs[position] < MARGIN
    assert check.best_logprobs[position] - check.logprobs[position] > 100 * MARGIN
    assert check.best_token_ids[position] == output[position]
    assert check.best_token_ids[:position] == output[:position]


def test_a_prefill_check_of_another_prompt_does_not_pass(running: Running, greedy_request: GenerationRequest):
    output = generate(running.engine, greedy_request).tokens(greedy_request)
    (check,) = running.engine.prefill_check([("swapped", PROMPT, output)])
    assert (
        max(best - own for best, own in zip(check.best_logprobs, check.logprobs, strict=True)) > 100 * MARGIN
    )


def test_a_prefill_check_of_nothing_is_empty(running: Running):
    assert running.engine.prefill_check([]) == []
    (check,) = running.engine.prefill_check([("nothing", PROMPT, ())])
    assert check.logprobs == ()


@pytest.mark.parametrize(
    ("prompt", "output", "reason"),
    [((5,) * 2000, (6,) * 49, "window"), ((), (6,), "empty"), ((5,), (999_999,), "999999")],
)
def test_a_prefill_check_refuses_what_the_model_cannot_hold(
    running: Running, prompt: tuple[int, ...], output: tuple[int, ...], reason: str
):
    with pytest.raises(ValueError, match=f"bad one.*{reason}"):
        running.engine.prefill_check([("good one", (5,), (6,)), ("bad one", prompt, output)])
    assert len(running.engine.prefill_check([("good one", (5,), (6,))])) == 1


def test_a_prefill_check_while_others_generate_disturbs_neither(
    running: Running, long_request: GenerationRequest, greedy_request: GenerationRequest
):
    expected = generate(running.engine, long_request, greedy_request)
    sequence = ("checked", greedy_request.prompt_token_ids, expected.tokens(greedy_request))
    (quiet,) = running.engine.prefill_check([sequence])
    running.engine.submit([long_request])
    heard = first_progress(running.engine, long_request)
    (busy,) = running.engine.prefill_check([sequence])
    hear(running.engine, [long_request], heard)
    assert heard.tokens(long_request) == expected.tokens(long_request)
    assert busy.best_token_ids == quiet.best_token_ids
    assert busy.logprobs == pytest.approx(quiet.logprobs, abs=MARGIN)


def test_metrics_count_what_was_generated(running: Running):
    before = running.engine.metrics()
    requests = [ask(running.long_prompt, max_tokens=9 + index) for index in range(4)]
    heard = generate(running.engine, *requests)
    after = running.engine.metrics()
    generated = sum(len(heard.tokens(item)) for item in requests)
    assert after.generated_tokens - before.generated_tokens == generated
    assert after.prompt_tokens - before.prompt_tokens == 4 * len(running.long_prompt)
    assert (after.running, after.waiting) == (0, 0)


def test_waiting_for_events_of_an_idle_engine_ends_in_time(running: Running):
    assert running.engine.events(0.05) == []


def test_a_stop_text_ends_a_real_output_as_stop(real: Running, tokenizer: Tokenizer):
    whole = ask(real.long_prompt, max_tokens=60)
    output = generate(real.engine, whole).tokens(whole)
    text = tokenizer.decode(output[:30])[-4:]
    first = next(end for end in range(1, 31) if text in tokenizer.decode(output[:end]))
    stopping = ask(real.long_prompt, max_tokens=60, sampling=Sampling(stop=(text,)))
    completion = generate(real.engine, stopping).completions[stopping.request_id]
    assert completion.finish_reason == "stop"
    assert completion.token_ids == output[:first]
