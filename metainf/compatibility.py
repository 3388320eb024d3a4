"""Which strategies an engine could start, told before anything is tried, with the reasons against the others.

Every rule is one that vLLM (0.26 to 0.32) enforces by an error, or one of the market: precision is part of what
was bought, so a strategy that changes it needs a variant that the model's manifest lists. Rules see engine
arguments, never names, so they hold for records nobody foresaw.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from metainf.catalogue import extra_needed
from metainf.facts import HardwareFacts, ModelFacts
from metainf.feasible import cache_too_small, steps_too_small
from metainf.memory import Memory
from metainf.strategy import DRAFT, JsonValue, Strategy, whole

# vLLM's attention kernels take blocks of a multiple of these, in tokens.
_BLOCK_MULTIPLE = {"cpu": 32, "cuda": 16}
# The least compute capability that multiplies in 8-bit floating point.
_FP8_CAPABILITY = (8, 9)
_HALF_TYPES = ("bfloat16", "float16")
# Drafts that asynchronous scheduling can wait for (`VllmConfig.__post_init__`).
_ASYNC_METHODS = ("ngram_gpu", "draft_model")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a strategy would run: the device, vLLM, what is installed beside it, and what the manifest lists.

    `devices` counts GPUs. `quantizations` and `kv_dtypes` are those of the manifest's variants beside the
    weights as they are; `draft` says that it lists a draft model. A model and a machine, where given, are
    held against the memory model as well.
    """

    device: str
    vllm_version: str
    extras: tuple[str, ...] = ()
    devices: int = 1
    compute_capability: tuple[int, int] | None = None
    quantizations: tuple[str, ...] = ()
    kv_dtypes: tuple[str, ...] = ()
    draft: bool = False
    model: ModelFacts | None = None
    hardware: HardwareFacts | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A strategy and why it cannot be run; an empty `refusals` means that it is offered."""

    strategy: Strategy
    refusals: tuple[str, ...]


_Rule = Callable[[Strategy, Surroundings], str | None]


def refusals(strategy: Strategy, where: Surroundings) -> tuple[str, ...]:
    """Every reason against a strategy here, in words with values; empty if it can be run."""
    wrong_place = _place(strategy, where)
    if wrong_place is not None:
        return (wrong_place,)
    return tuple(reason for rule in _RULES if (reason := rule(strategy, where)) is not None)


def offers(strategies: Iterable[Strategy], where: Surroundings) -> tuple[Offer, ...]:
    """Each strategy with its refusals, in the order given."""
    return tuple(Offer(strategy, refusals(strategy, where)) for strategy in strategies)


def offered(strategies: Iterable[Strategy], where: Surroundings) -> Iterator[Strategy]:
    """Those that can be run, in the order given."""
    return (strategy for strategy in strategies if not refusals(strategy, where))


def _place(strategy: Strategy, where: Surroundings) -> str | None:
    if where.device not in strategy.devices:
        return f"made for {', '.join(strategy.devices)}, not {where.device}"
    if not strategy.runs_on(where.device, where.vllm_version):
        return f"declared for vLLM {strategy.vllm_versions}, not {where.vllm_version}"
    return None


def _block(strategy: Strategy, where: Surroundings) -> str | None:
    size, multiple = whole(strategy.engine_args, "block_size"), _BLOCK_MULTIPLE.get(where.device, 1)
    if size % multiple:
        return f"cache blocks of {size} tokens: attention here takes multiples of {multiple}"
    return None


def _steps(strategy: Strategy, where: Surroundings) -> str | None:
    tokens = whole(strategy.engine_args, "max_num_batched_tokens")
    sequences = whole(strategy.engine_args, "max_num_seqs")
    if tokens < sequences:
        return f"steps of {tokens} tokens are too small for {sequences} sequences"
    if where.model is None:
        return None
    chunked = bool(strategy.engine_args["enable_chunked_prefill"])
    return steps_too_small(tokens, where.model.max_model_len, chunked=chunked)


def _extra(strategy: Strategy, where: Surroundings) -> str | None:
    needed = extra_needed(strategy.engine_args)
    if needed is not None and needed not in where.extras:
        return f"needs the Python package {needed}, which is not installed"
    return None


def _draft(strategy: Strategy, where: Surroundings) -> str | None:
    speculative = _speculative(strategy)
    if speculative is not None and speculative.get("model") == DRAFT and not where.draft:
        return "the manifest lists no draft model"
    return None


def _quantization(strategy: Strategy, where: Surroundings) -> str | None:
    method = strategy.engine_args.get("quantization")
    if method is None:
        return None
    if method not in where.quantizations:
        return f"the manifest lists no variant quantised by {method}"
    if where.model is not None and where.model.dtype not in _HALF_TYPES:
        return f"{method} computes in {' or '.join(_HALF_TYPES)}, not {where.model.dtype}"
    if method == "fp8" and (where.compute_capability or (0, 0)) < _FP8_CAPABILITY:
        return "8-bit floating point needs a GPU of compute capability 8.9"
    return None


def _kv_dtype(strategy: Strategy, where: Surroundings) -> str | None:
    dtype = strategy.engine_args["kv_cache_dtype"]
    if dtype != "auto" and dtype not in where.kv_dtypes:
        return f"the manifest lists no variant with a {dtype} KV cache"
    return None


def _asynchronous(strategy: Strategy, where: Surroundings) -> str | None:
    if not strategy.engine_args["async_scheduling"]:
        return None
    if where.device == "cpu":
        return "vLLM turns asynchronous scheduling off on a CPU"
    speculative = _speculative(strategy)
    if speculative is not None and speculative["method"] not in _ASYNC_METHODS:
        return f"asynchronous scheduling does not go with {speculative['method']} speculation"
    if whole(strategy.engine_args, "pipeline_parallel_size") > 1:
        return "asynchronous scheduling does not go with pipeline parallelism"
    return None


def _parallel(strategy: Strategy, where: Surroundings) -> str | None:
    tensor = whole(strategy.engine_args, "tensor_parallel_size")
    pipeline = whole(strategy.engine_args, "pipeline_parallel_size")
    needed = tensor * pipeline
    if needed > where.devices:
        return f"needs {needed} devices, not {where.devices}"
    if where.model is not None and where.model.heads % tensor:
        return f"{where.model.heads} attention heads do not divide by {tensor}"
    if where.model is not None and where.model.layers < pipeline:
        return f"{where.model.layers} layers do not make {pipeline} stages"
    return None


def _graphs(strategy: Strategy, where: Surroundings) -> str | None:
    compilation = strategy.engine_args.get("compilation_config")
    if not isinstance(compilation, Mapping):
        return None
    if where.device != "cuda":
        return "CUDA graphs need a GPU"
    if strategy.engine_args["enforce_eager"] and compilation.get("cudagraph_mode") != "NONE":
        return "an eager engine captures no graphs"
    return None


def _memory(strategy: Strategy, where: Surroundings) -> str | None:
    if where.model is None or where.hardware is None:
        return None
    memory = Memory.of(where.model, where.hardware, strategy)
    block_size = whole(strategy.engine_args, "block_size")
    too_small = cache_too_small(memory.kv_tokens, block_size, where.model.max_model_len)
    if too_small is not None:
        return too_small
    if memory.total_bytes > where.hardware.memory_bytes:
        return (
            f"needs {memory.total_bytes} bytes (weights {memory.weight_bytes}, KV cache {memory.kv_bytes}, "
            f"steps {memory.activation_bytes}, graphs {memory.graph_bytes}) of {where.hardware.memory_bytes}"
        )
    return None


_RULES: tuple[_Rule, ...] = (
    _block,
    _steps,
    _extra,
    _draft,
    _quantization,
    _kv_dtype,
    _asynchronous,
    _parallel,
    _graphs,
    _memory,
)


def _speculative(strategy: Strategy) -> Mapping[str, JsonValue] | None:
    speculative = strategy.engine_args["speculative_config"]
    return speculative if isinstance(speculative, Mapping) else None
