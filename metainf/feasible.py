"""Which strategies can run a task at all, told before anything is predicted."""

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.settings import Settings


def obstacle(
    model: ModelFacts, hardware: HardwareFacts, workload: Workload, settings: Settings
) -> str | None:
    """Why vLLM could not run this, in words with values; None if it can.

    vLLM refuses to start when the KV cache does not hold one sequence of the model's full length, or when
    prefill may not be chunked and a full-length prompt does not fit one step.
    """
    longest = workload.prompt_quantiles[3] + workload.output_quantiles[0]
    if longest > model.max_model_len:
        return f"{longest} tokens exceed the model's window of {model.max_model_len}"
    window = model.max_model_len
    too_small = cache_too_small(
        hardware.kv_cache_bytes // max(model.kv_bytes_per_token, 1), settings.block_size, window
    ) or steps_too_small(settings.max_num_batched_tokens, window, chunked=settings.chunked_prefill)
    if too_small is not None:
        return too_small
    if model.weight_bytes + hardware.kv_cache_bytes > hardware.memory_bytes:
        needed = model.weight_bytes + hardware.kv_cache_bytes
        return f"weights and KV cache need {needed} bytes of {hardware.memory_bytes}"
    return None


def cache_too_small(kv_tokens: int, block_size: int, window: int) -> str | None:
    """Whether a cache of whole blocks holds no sequence of the model's full length."""
    whole_tokens = kv_tokens // block_size * block_size
    if whole_tokens < window:
        return f"a KV cache of {whole_tokens} tokens holds no sequence of {window}"
    return None


def steps_too_small(tokens: int, window: int, *, chunked: bool) -> str | None:
    """Whether a full-length prompt, which may not be cut, does not fit one step."""
    if tokens < window and not chunked:
        return f"unchunked steps of {tokens} tokens take no whole prompt of {window}"
    return None
