"""The strategies Quern knows, each with every flag written out.

The names `paper-*` are the arms of MetaInf (arXiv 2410.21340): continuous batching alone, with prefix
caching, with chunked prefill; all together is vLLM's own default today. Every CPU record sets
`enforce_eager`, because `torch.compile` costs most of a minute at every start there, and leaves two
things to the worker: the weights' precision, which is part of what was bought, and
`kv_cache_memory_bytes`, which is a fact of the machine (`HardwareFacts.kv_cache_bytes`).
"""

from collections.abc import Mapping

from metainf.strategy import JsonValue, Strategy

DEFAULT_NAME = "vllm-default"

CPU_VERSIONS = "==0.32.*"

# What vLLM 0.32 resolves on a CPU when nothing is said, read from its `VllmConfig`.
_CPU_DEFAULT: dict[str, JsonValue] = {
    "enforce_eager": True,
    "enable_prefix_caching": True,
    "enable_chunked_prefill": True,
    "max_num_seqs": 256,
    "max_num_batched_tokens": 4096,
    "block_size": 128,
    "kv_cache_dtype": "auto",
    "speculative_config": None,
    "async_scheduling": False,
    "scheduling_policy": "fcfs",
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
}


def _cpu(name: str, description: str, changes: Mapping[str, JsonValue]) -> Strategy:
    return Strategy(
        name=name,
        engine_args={**_CPU_DEFAULT, **changes},
        environment={},
        devices=("cpu",),
        vllm_versions=CPU_VERSIONS,
        exact=True,
        description=description,
    )


def _ngram(length: int) -> dict[str, JsonValue]:
    """Speculation from the request's own text: `length` tokens are guessed after a repeated run of two to
    four.
    """
    return {
        "speculative_config": {
            "method": "ngram",
            "num_speculative_tokens": length,
            "prompt_lookup_min": 2,
            "prompt_lookup_max": 4,
        }
    }


_CPU: tuple[Strategy, ...] = (
    _cpu(DEFAULT_NAME, "vLLM's own defaults, run eagerly: batching, prefix caching, chunked prefill", {}),
    _cpu(
        "paper-batching",
        "continuous batching alone",
        {"enable_prefix_caching": False, "enable_chunked_prefill": False},
    ),
    _cpu("paper-caching", "continuous batching with prefix caching", {"enable_chunked_prefill": False}),
    _cpu("paper-chunked", "continuous batching with chunked prefill", {"enable_prefix_caching": False}),
    _cpu("block-32", "small cache blocks: prefixes are shared almost to the token", {"block_size": 32}),
    _cpu("seqs-1", "one request at a time", {"max_num_seqs": 1}),
    _cpu("seqs-8", "at most eight requests at a time", {"max_num_seqs": 8}),
    _cpu(
        "chunk-256", "prefill in chunks of 256 tokens: answers start sooner", {"max_num_batched_tokens": 256}
    ),
    _cpu("compiled", "torch.compile: a start of half a minute for quicker steps", {"enforce_eager": False}),
    _cpu("ngram-2", "n-gram speculation, two tokens", _ngram(2)),
    _cpu("ngram-4", "n-gram speculation, four tokens", _ngram(4)),
    _cpu("ngram-8", "n-gram speculation, eight tokens", _ngram(8)),
    _cpu(
        "ngram-4-block-32",
        "n-gram speculation, four tokens, small cache blocks",
        {**_ngram(4), "block_size": 32},
    ),
)


def catalogue(device: str, vllm_version: str) -> tuple[Strategy, ...]:
    """Every known strategy declared for this device and vLLM version, in a fixed order, the default
    first.
    """
    return tuple(strategy for strategy in _CPU if strategy.runs_on(device, vllm_version))
