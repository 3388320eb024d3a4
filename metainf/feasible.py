"""Which strategies can run a task at all, told before anything is predicted."""

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.features import Settings


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
    kv_tokens = (
        hardware.kv_cache_bytes
        // max(model.kv_bytes_per_token * settings.block_size, 1)
        * settings.block_size
    )
    if kv_tokens < model.max_model_len:
        return f"a KV cache of {kv_tokens} tokens holds no sequence of {model.max_model_len}"
    if not settings.chunked_prefill and settings.max_num_batched_tokens < model.max_model_len:
        return (
            f"steps of {settings.max_num_batched_tokens} tokens take no whole prompt of {model.max_model_len}"
        )
    if model.weight_bytes + hardware.kv_cache_bytes > hardware.memory_bytes:
        needed = model.weight_bytes + hardware.kv_cache_bytes
        return f"weights and KV cache need {needed} bytes of {hardware.memory_bytes}"
    return None
