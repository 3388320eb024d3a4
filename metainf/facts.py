"""What is known before a task runs: the model, the machine, the workload.

Every field is an integer or a string, so that a recorded choice can be written down and replayed without
losing a bit.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metainf.checkpoint import BYTES_PER_DTYPE, llama_parameters, read_config, stored_weights
from metainf.errors import ModelUnreadable
from metainf.overlap import SHARING_BLOCKS, repeated_trigrams_ppm, shared_tokens
from metainf.rates import copy_bytes_per_s, cpu_name, engine_threads, matmul_flops

if TYPE_CHECKING:
    from protocol.digest import JsonValue

# Where families of workloads part: this share of the prompts is shared; a median request writes no more than this.
FAMILY_SHARED_RATIO = 0.3
FAMILY_READING_TOKENS = 8


class _Facts:
    """Dataclass to JSON, for the record of a choice."""

    __slots__ = ()

    def to_json(self) -> "dict[str, JsonValue]":
        """Plain JSON values, tuples as lists."""
        values: dict[str, JsonValue] = {}
        for name, value in asdict(self).items():  # type: ignore[call-overload]  # subclasses are dataclasses
            values[name] = list(value) if isinstance(value, tuple) else value
        return values


@dataclass(frozen=True, slots=True)
class ModelFacts(_Facts):
    """A decoder's shape. `weight_bytes_per_param` follows the stored dtype; `max_model_len` is in
    tokens.
    """

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    dtype: str
    weight_bytes_per_param: int
    max_model_len: int
    experts: int
    random_weights: bool

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return self.parameters * self.weight_bytes_per_param

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of key and value one token leaves in the cache, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES_PER_DTYPE.get(self.dtype, 4)

    @classmethod
    def from_dir(cls, model_dir: Path) -> "ModelFacts":
        """Read `config.json` and the headers of `*.safetensors`; without weights the parameters are
        computed.

        Raises `ModelUnreadable` naming what is missing.
        """
        config = read_config(model_dir)

        def number(name: str, fallback: int | None = None) -> int:
            value = config.get(name, fallback)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ModelUnreadable(str(model_dir), f"config.json has no whole number {name!r}")
            return value

        hidden, heads = number("hidden_size"), number("num_attention_heads")
        kv_heads = number("num_key_value_heads", heads)
        shape = {
            "layers": number("num_hidden_layers"),
            "hidden": hidden,
            "intermediate": number("intermediate_size"),
            "heads": heads,
            "kv_heads": kv_heads,
            "head_dim": number("head_dim", hidden // max(heads, 1)),
            "vocab": number("vocab_size"),
            "experts": number("num_local_experts", 0),
        }
        weights = sorted(model_dir.glob("*.safetensors"))
        parameters, dtype_bytes = stored_weights(weights)
        dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
        return cls(
            parameters=parameters
            or llama_parameters(tied=config.get("tie_word_embeddings") is True, **shape),
            dtype=dtype,
            weight_bytes_per_param=dtype_bytes or BYTES_PER_DTYPE.get(dtype, 4),
            max_model_len=number("max_position_embeddings"),
            random_weights=not weights,
            **shape,
        )


@dataclass(frozen=True, slots=True)
class HardwareFacts(_Facts):
    """A machine as an engine sees it. `cores` are the threads the engine may use; rates are measured with
    them.
    """

    device: str
    name: str
    cores: int
    memory_bytes: int
    kv_cache_bytes: int
    memory_bytes_per_s: int
    peak_flops: int

    @classmethod
    def detect(cls, device: str = "cpu", kv_cache_bytes: int = 256 << 20) -> "HardwareFacts":
        """Measure this machine in about a fifth of a second: fp32 matrix product and copy rate of one
        thread, times cores.

        The rates vary by some percent between calls; a caller keeps what it got. `cores` follows
        `OMP_NUM_THREADS`, else 1. Only `cpu` can be measured here; any other device is a `ValueError`.
        """
        if device != "cpu":
            raise ValueError(f"device {device!r}: only 'cpu' can be measured; state the facts of others")
        cores = engine_threads()
        return cls(
            device=device,
            name=cpu_name(),
            cores=cores,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            kv_cache_bytes=kv_cache_bytes,
            memory_bytes_per_s=copy_bytes_per_s() * cores,
            peak_flops=matmul_flops() * cores,
        )


@dataclass(frozen=True, slots=True)
class Workload(_Facts):
    """One batch of requests, reduced to what moves time. All lengths are in tokens.

    `*_quantiles` are least, median, 90 % and greatest. `shared_tokens[i]` counts prompt tokens that an
    earlier prompt of the batch already has as its prefix, in whole blocks of `SHARING_BLOCKS[i]`; at
    least one token of each prompt is always computed, as in vLLM. `repeated_trigrams_ppm` is the share
    of a prompt's trigrams that it contained before, per million, what n-gram speculation feeds on.
    `greedy` counts the requests with temperature zero.
    """

    prompts: int
    concurrency: int
    greedy: int
    prompt_tokens: int
    prompt_quantiles: tuple[int, ...]
    output_tokens: int
    output_quantiles: tuple[int, ...]
    shared_tokens: tuple[int, ...]
    repeated_trigrams_ppm: int

    @classmethod
    def from_token_ids(
        cls,
        prompts: Sequence[Sequence[int]],
        max_tokens: Sequence[int],
        concurrency: int | None = None,
        greedy: int | None = None,
    ) -> "Workload":
        """Count one batch in one pass; the order of its requests does not matter.

        `concurrency`, all by default, is how many requests the caller lets run at once; `greedy`, all
        by default, how many have temperature zero. `ValueError` for an empty batch or lists of
        different length.
        """
        if not prompts or len(prompts) != len(max_tokens):
            raise ValueError(
                f"{len(prompts)} prompts, {len(max_tokens)} output lengths: give one length for each prompt"
            )
        ordered = sorted(map(tuple, prompts))
        lengths = sorted(map(len, ordered))
        outputs = sorted(max_tokens)
        return cls(
            prompts=len(ordered),
            concurrency=len(ordered) if concurrency is None else min(concurrency, len(ordered)),
            greedy=len(ordered) if greedy is None else greedy,
            prompt_tokens=sum(lengths),
            prompt_quantiles=_quantiles(lengths),
            output_tokens=sum(outputs),
            output_quantiles=_quantiles(outputs),
            shared_tokens=shared_tokens(ordered),
            repeated_trigrams_ppm=repeated_trigrams_ppm(ordered),
        )

    @property
    def shared_prefix_ratio(self) -> float:
        """Share of prompt tokens that an earlier prompt of the batch already computed."""
        return self.shared_tokens[0] / max(self.prompt_tokens, 1)

    @property
    def ngram_overlap(self) -> float:
        """Share of a prompt's trigrams that repeat an earlier one of the same prompt."""
        return self.repeated_trigrams_ppm / 1e6

    @property
    def family(self) -> str:
        """What kind of work this is, by what costs most: `one prompt`, `shared prefix`, `reading` or `writing`."""
        if self.prompts == 1:
            return "one prompt"
        if self.shared_prefix_ratio >= FAMILY_SHARED_RATIO:
            return "shared prefix"
        return "reading" if self.output_quantiles[1] <= FAMILY_READING_TOKENS else "writing"

    def shared_in_blocks(self, block_size: int) -> int:
        """Shared tokens in whole blocks of `block_size`; for a size not counted, those of the next greater
        counted one.
        """
        for block, shared in zip(SHARING_BLOCKS, self.shared_tokens, strict=True):
            if block >= block_size:
                return shared
        return 0


def _quantiles(ordered: Sequence[int]) -> tuple[int, ...]:
    last = len(ordered) - 1
    return (ordered[0], ordered[last // 2], ordered[last * 9 // 10], ordered[last])
