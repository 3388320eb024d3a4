"""What is known before a task runs: the model, the machine, the workload.

Every field is an integer or a string, so that a recorded choice can be written down and replayed without
losing a bit.
"""

import json
import os
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from metainf.errors import ModelUnreadable

if TYPE_CHECKING:
    from protocol.digest import JsonValue

# Cache block sizes, in tokens, for which shared prefixes are counted; 1 counts every shared token.
SHARING_BLOCKS = (1, 16, 32, 64, 128)

# Trigrams are counted in at most this many tokens, so that extraction stays well under a millisecond.
_TRIGRAM_SAMPLE = 2_048

# Where families of workloads part: this share of the prompts is shared; a median request writes no more than this.
FAMILY_SHARED_RATIO = 0.3
FAMILY_READING_TOKENS = 8

BYTES_PER_DTYPE = {
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "F32": 4,
    "BF16": 2,
    "F16": 2,
    "I8": 1,
    "F8_E4M3": 1,
}


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
        config = _read_config(model_dir)

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
        parameters, dtype_bytes = _stored_weights(weights)
        dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
        return cls(
            parameters=parameters
            or _llama_parameters(tied=config.get("tie_word_embeddings") is True, **shape),
            dtype=dtype,
            weight_bytes_per_param=dtype_bytes or BYTES_PER_DTYPE.get(dtype, 4),
            max_model_len=number("max_position_embeddings"),
            random_weights=not weights,
            **shape,
        )


def _read_config(model_dir: Path) -> "dict[str, JsonValue]":
    try:
        config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelUnreadable(str(model_dir), f"config.json cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ModelUnreadable(str(model_dir), "config.json is not JSON") from error
    if not isinstance(config, dict):
        raise ModelUnreadable(str(model_dir), "config.json is not an object")
    return config


def _stored_weights(files: Sequence[Path]) -> tuple[int, int]:
    """Number of parameters and bytes of the commonest dtype, from safetensors headers; zeros without
    files.
    """
    parameters = 0
    per_dtype: dict[str, int] = {}
    for path in files:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        for name, tensor in header.items():
            if name != "__metadata__":
                count = prod(tensor["shape"])
                parameters += count
                per_dtype[tensor["dtype"]] = per_dtype.get(tensor["dtype"], 0) + count
    commonest = max(per_dtype, key=lambda dtype: (per_dtype[dtype], dtype), default="")
    return parameters, BYTES_PER_DTYPE.get(commonest, 0)


def _llama_parameters(
    *,
    layers: int,
    hidden: int,
    intermediate: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    vocab: int,
    experts: int,
    tied: bool,
) -> int:
    attention = hidden * head_dim * (2 * heads + 2 * kv_heads)
    feed_forward = 3 * hidden * intermediate * max(experts, 1) + hidden * experts
    norms = 2 * hidden
    return layers * (attention + feed_forward + norms) + hidden + vocab * hidden * (1 if tied else 2)


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
        cores = _engine_threads()
        return cls(
            device=device,
            name=_cpu_name(),
            cores=cores,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            kv_cache_bytes=kv_cache_bytes,
            memory_bytes_per_s=_round_2_digits(_copy_rate()) * cores,
            peak_flops=_round_2_digits(_matmul_rate()) * cores,
        )


def _engine_threads() -> int:
    declared = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
    return int(declared) if declared.isdecimal() and int(declared) > 0 else 1


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def _round_2_digits(value: float) -> int:
    return int(float(f"{value:.1e}"))


def _best_cpu_secs(work: "Iterator[None]") -> float:
    """The quickest of several steps of `work`, in CPU seconds of this thread, robust against busy
    neighbours.
    """
    best = float("inf")
    while True:
        started = time.process_time()
        try:
            next(work)
        except StopIteration:
            return best
        best = min(best, time.process_time() - started)


def _copy_rate() -> float:
    import numpy as np

    source = np.ones(4 << 20, dtype=np.float32)
    target = np.empty_like(source)

    def copies() -> Iterator[None]:
        for _ in range(8):
            np.copyto(target, source)
            yield

    return 2 * source.nbytes / _best_cpu_secs(copies())


def _matmul_rate() -> float:
    import numpy as np

    # Matrices this small are multiplied by one thread, whatever number the library would use for greater ones.
    side, count = 64, 250
    matrices = np.ones((count, side, side), dtype=np.float32)

    def products() -> Iterator[None]:
        for _ in range(40):
            matrices @ matrices
            yield

    return 2 * count * side**3 / _best_cpu_secs(products())


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
            shared_tokens=_shared_tokens(ordered),
            repeated_trigrams_ppm=_repeated_trigrams_ppm(ordered),
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


def _shared_tokens(ordered: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """In sorted order the longest prefix shared with any earlier prompt is the one shared with the
    neighbour.
    """
    totals = [0] * len(SHARING_BLOCKS)
    for before, prompt in pairwise(ordered):
        shared = min(_common_prefix(before, prompt), len(prompt) - 1)
        for index, block in enumerate(SHARING_BLOCKS):
            totals[index] += shared - shared % block
    return tuple(totals)


def _common_prefix(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _repeated_trigrams_ppm(ordered: Sequence[tuple[int, ...]]) -> int:
    ends = list(accumulate(map(len, ordered)))
    stride = max(1, -(-ends[-1] // _TRIGRAM_SAMPLE))
    seen = repeated = 0
    for prompt in ordered[::stride]:
        window = prompt[:_TRIGRAM_SAMPLE]
        trigrams = max(len(window) - 2, 0)
        seen += trigrams
        repeated += trigrams - len(set(zip(window, window[1:], window[2:], strict=False)))
    return 1_000_000 * repeated // seen if seen else 0
