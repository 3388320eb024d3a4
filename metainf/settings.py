"""A strategy as the numbers that a scheduler works with."""

from collections.abc import Mapping
from dataclasses import dataclass

from metainf.strategy import Strategy, whole

# Ways of guessing tokens ahead, as the records name them.
NGRAM = "ngram"
SUFFIX = "suffix"

# Bytes of a weight under what an engine may make of it; the dtype it is stored in otherwise.
_QUANTISED_BYTES = {"fp8": 1.0, "int8": 1.0, "w8a8": 1.0, "int4": 0.5, "awq": 0.5, "gptq": 0.5}


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers of a strategy that a scheduler works with. `speculation` is how tokens are guessed ahead, empty
    if they are not; `quantised_bytes` is what a weight takes if the engine makes it smaller, else 0.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int
    prefix_caching: bool
    chunked_prefill: bool
    eager: bool
    draft_tokens: int
    speculation: str = ""
    quantised_bytes: float = 0.0
    kv_fp8: bool = False
    parallel: int = 1

    @classmethod
    def of(cls, strategy: Strategy) -> "Settings":
        """Read a strategy's engine arguments; every flag of a record is explicit, so a missing one is a
        `KeyError`.
        """
        arguments = strategy.engine_args
        speculative = arguments["speculative_config"]
        guessing = speculative if isinstance(speculative, Mapping) else {"num_speculative_tokens": 0}
        quantisation = str(arguments.get("quantization") or "")
        return cls(
            max_num_seqs=whole(arguments, "max_num_seqs"),
            max_num_batched_tokens=whole(arguments, "max_num_batched_tokens"),
            block_size=whole(arguments, "block_size"),
            prefix_caching=bool(arguments["enable_prefix_caching"]),
            chunked_prefill=bool(arguments["enable_chunked_prefill"]),
            eager=bool(arguments["enforce_eager"]),
            draft_tokens=whole(guessing, "num_speculative_tokens"),
            speculation=str(guessing.get("method", "")),
            quantised_bytes=next(
                (size for name, size in _QUANTISED_BYTES.items() if name in quantisation),
                1.0 if quantisation else 0.0,
            ),
            kv_fp8=str(arguments["kv_cache_dtype"]).startswith("fp8"),
            parallel=whole(arguments, "tensor_parallel_size") * whole(arguments, "pipeline_parallel_size"),
        )


# What plans are compared with, so that a feature tells by how much a strategy should change the work: the settings
# vLLM chooses by itself on a CPU. A yardstick only; it need not be a candidate.
YARDSTICK = Settings(
    max_num_seqs=256,
    max_num_batched_tokens=4096,
    block_size=128,
    prefix_caching=True,
    chunked_prefill=True,
    eager=True,
    draft_tokens=0,
)
