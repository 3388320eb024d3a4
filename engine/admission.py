"""Why a request cannot be served, in the same words by every engine."""

from __future__ import annotations

from collections.abc import Sequence

from engine.base import GenerationRequest, Sampling

MAX_SEED = 2**63 - 1


def why_unservable(request: GenerationRequest, vocab_size: int, max_model_len: int) -> str | None:
    """One line naming the field, the value and the limit; None if the request can be served."""
    if request.max_tokens < 1:
        return f"max_tokens is {request.max_tokens}: ask for at least 1"
    prompt_tokens = len(request.prompt_token_ids)
    if prompt_tokens >= max_model_len:
        return f"prompt has {prompt_tokens} tokens: the window is {max_model_len}, output included"
    return why_bad_tokens(request.prompt_token_ids, vocab_size) or _why_bad_sampling(request.sampling)


def why_bad_tokens(token_ids: Sequence[int], vocab_size: int) -> str | None:
    """One line naming the first problem of a sequence of token ids; None if the model can read it."""
    if not token_ids:
        return "prompt is empty: give at least one token"
    lowest, highest = min(token_ids), max(token_ids)
    if lowest < 0 or highest >= vocab_size:
        return f"token id {lowest if lowest < 0 else highest} is outside the vocabulary of {vocab_size}"
    return None


def _why_bad_sampling(sampling: Sampling) -> str | None:
    if not 0.0 <= sampling.temperature <= 100.0:
        return f"temperature is {sampling.temperature}: give 0 to 100"
    if not 0.0 < sampling.top_p <= 1.0:
        return f"top_p is {sampling.top_p}: give more than 0, at most 1"
    if sampling.top_k < 0:
        return f"top_k is {sampling.top_k}: give 0 (off) or more"
    if not -2.0 <= sampling.presence_penalty <= 2.0:
        return f"presence_penalty is {sampling.presence_penalty}: give -2 to 2"
    if not -2.0 <= sampling.frequency_penalty <= 2.0:
        return f"frequency_penalty is {sampling.frequency_penalty}: give -2 to 2"
    if not 0.0 < sampling.repetition_penalty <= 100.0:
        return f"repetition_penalty is {sampling.repetition_penalty}: give more than 0, at most 100"
    if not 0 <= sampling.seed <= MAX_SEED:
        return f"seed is {sampling.seed}: give 0 to 2^63 - 1"
    if any(not text for text in sampling.stop):
        return "stop has an empty string: leave it out"
    return None
