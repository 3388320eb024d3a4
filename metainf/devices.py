"""What can be turned on a CPU and on a GPU: vLLM's defaults there, the axes, and what was measured to be exact."""

from collections.abc import Mapping

from metainf.grammar import Axis, Device, Option
from metainf.strategy import DRAFT, JsonValue


def _ngram(length: int, method: str = "ngram") -> dict[str, JsonValue]:
    """Speculation from the request's own text: `length` tokens are guessed after a repeated run of two to
    four.
    """
    return {
        "speculative_config": {
            "method": method,
            "num_speculative_tokens": length,
            "prompt_lookup_min": 2,
            "prompt_lookup_max": 4,
        }
    }


def _suffix(length: int) -> dict[str, JsonValue]:
    """Speculation from a suffix tree over the request's own text (arXiv 2411.04975), at most `length` tokens.

    No tree over earlier requests is kept, so that what a job costs does not hang on the jobs before it.
    """
    return {
        "speculative_config": {
            "method": "suffix",
            "num_speculative_tokens": length,
            "suffix_decoding_max_tree_depth": length,
            "suffix_decoding_max_cached_requests": 0,
            "suffix_decoding_max_spec_factor": 1.0,
            "suffix_decoding_min_token_prob": 0.1,
        }
    }


def _draft(length: int) -> dict[str, JsonValue]:
    """Speculation by a smaller model, which the model's manifest must list."""
    return {"speculative_config": {"method": "draft_model", "num_speculative_tokens": length, "model": DRAFT}}


def _sequences(*counts: int) -> Axis:
    return Axis(
        "sequences",
        tuple(
            Option(
                f"seqs-{count}",
                "one request at a time" if count == 1 else f"at most {_words(count)} requests at a time",
                {"max_num_seqs": count},
            )
            for count in counts
        ),
    )


def _words(count: int) -> str:
    return {2: "two", 4: "four", 8: "eight"}.get(count, str(count))


def _chunks(*tokens: int) -> Axis:
    return Axis(
        "chunk",
        tuple(
            Option(
                f"chunk-{count}",
                f"prefill in chunks of {count} tokens: answers start sooner",
                {"max_num_batched_tokens": count},
            )
            for count in tokens
        ),
    )


def _blocks(*tokens: int) -> Axis:
    return Axis(
        "block",
        tuple(
            Option(f"block-{count}", f"cache blocks of {count} tokens", {"block_size": count})
            for count in tokens
        ),
    )


_CACHING = Axis(
    "caching", (Option("uncached", "no prefix is kept for others", {"enable_prefix_caching": False}),)
)
_PREFILL = Axis(
    "prefill", (Option("unchunked", "each prompt in one step", {"enable_chunked_prefill": False}),)
)
_KV_DTYPE = Axis(
    "kv dtype",
    (Option("kv-fp8", "the cache in 8 bits, if the manifest lists it", {"kv_cache_dtype": "fp8"}),),
)
_QUANTIZATION = Axis(
    "quantization",
    (
        Option("fp8", "weights and activations in 8 bits, if the manifest lists it", {"quantization": "fp8"}),
        Option(
            "int8-weights",
            "weights in 8 bits, if the manifest lists it",
            {"quantization": "int8_per_channel_weight_only"},
        ),
    ),
)
_ONE_DEVICE: dict[str, JsonValue] = {"tensor_parallel_size": 1, "pipeline_parallel_size": 1}

CPU = Device(
    name="cpu",
    vllm_versions="==0.32.*",
    # What vLLM 0.32 resolves on a CPU when nothing is said, read from its `VllmConfig`.
    default={
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
        **_ONE_DEVICE,
    },
    environment={},
    axes=(
        _QUANTIZATION,
        Axis(
            "speculation",
            (
                *(
                    Option(f"ngram-{length}", f"n-gram speculation, {_words(length)} tokens", _ngram(length))
                    for length in (2, 4, 8)
                ),
                Option("suffix-24", "suffix speculation, up to 24 tokens", _suffix(24)),
                Option("draft-4", "four tokens drafted by a listed smaller model", _draft(4)),
            ),
        ),
        Axis(
            "compilation",
            (
                Option(
                    "compiled",
                    "torch.compile: a start of half a minute for quicker steps",
                    {"enforce_eager": False},
                ),
            ),
        ),
        _sequences(1, 8),
        _chunks(256, 1024),
        _blocks(16, 32, 64),
        _CACHING,
        _PREFILL,
        _KV_DTYPE,
        Axis(
            "scheduling",
            (Option("async", "the next step planned during this one", {"async_scheduling": True}),),
        ),
    ),
    # By the shipped table: a test holds each of these to it.
    measured_exact=frozenset(
        (
            "vllm-default",
            *("paper-batching", "paper-caching", "paper-chunked"),
            *("block-32", "seqs-1", "seqs-8", "chunk-256"),
            *("compiled", "compiled-block-32"),
            *("ngram-2", "ngram-4", "ngram-8", "ngram-4-block-32", "ngram-8-block-32", "suffix-24"),
        )
    ),
)


def _graphs(mode: str) -> dict[str, JsonValue]:
    # 3 is vLLM's own compiler, `CompilationMode.VLLM_COMPILE`.
    return {"compilation_config": {"mode": 3, "cudagraph_mode": mode}}


_SYNC: dict[str, JsonValue] = {"async_scheduling": False}

CUDA = Device(
    name="cuda",
    vllm_versions=">=0.26,<0.33",
    # What vLLM resolves on a GPU with the memory of an H100 or more for offline use; argument names checked
    # against 0.26.0 and 0.32.0. FlashAttention, because FlashInfer need not be installed.
    default={
        "enforce_eager": False,
        "compilation_config": {"mode": 3, "cudagraph_mode": "FULL_AND_PIECEWISE"},
        "attention_backend": "FLASH_ATTN",
        "enable_prefix_caching": True,
        "enable_chunked_prefill": True,
        "max_num_seqs": 1024,
        "max_num_batched_tokens": 16384,
        "block_size": 16,
        "kv_cache_dtype": "auto",
        "quantization": None,
        "speculative_config": None,
        "async_scheduling": True,
        "scheduling_policy": "fcfs",
        **_ONE_DEVICE,
    },
    environment={"VLLM_USE_FLASHINFER_SAMPLER": "0"},
    axes=(
        _QUANTIZATION,
        Axis(
            "speculation",
            (
                *(
                    Option(
                        f"ngram-{length}",
                        f"n-gram speculation, {_words(length)} tokens",
                        {**_ngram(length), **_SYNC},
                    )
                    for length in (4, 8)
                ),
                Option("ngram-gpu-4", "n-gram speculation on the GPU, four tokens", _ngram(4, "ngram_gpu")),
                Option("suffix-24", "suffix speculation, up to 24 tokens", {**_suffix(24), **_SYNC}),
                Option("draft-4", "four tokens drafted by a listed smaller model", {**_draft(4), **_SYNC}),
            ),
        ),
        Axis(
            "compilation",
            (
                Option(
                    "eager",
                    "neither compiled nor captured: starts soonest",
                    {"enforce_eager": True, "compilation_config": {"mode": 0, "cudagraph_mode": "NONE"}},
                ),
                Option("piecewise", "CUDA graphs without attention", _graphs("PIECEWISE")),
                Option("no-graphs", "compiled, without CUDA graphs", _graphs("NONE")),
            ),
        ),
        _sequences(32, 256),
        _chunks(512, 2048, 8192),
        _blocks(32, 64, 128),
        _CACHING,
        _PREFILL,
        _KV_DTYPE,
        Axis("scheduling", (Option("sync", "each step planned after the last", _SYNC),)),
        Axis(
            "parallel",
            (
                *(
                    Option(f"tp-{count}", f"each layer over {count} GPUs", {"tensor_parallel_size": count})
                    for count in (2, 4, 8)
                ),
                Option("pp-2", "the layers over two GPUs", {"pipeline_parallel_size": 2, **_SYNC}),
            ),
        ),
    ),
    measured_exact=frozenset(),
)

DEVICES: Mapping[str, Device] = {device.name: device for device in (CPU, CUDA)}
