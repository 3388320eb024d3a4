"""The strategies Quern knows, each with every flag written out.

The names `paper-*` are the arms of MetaInf (arXiv 2410.21340): continuous batching alone, with prefix
caching, with chunked prefill; all together is vLLM's own default today. The other names are those that
`grammar` gives to the options a record combines; any other combination of options is a strategy too, but
these are the ones that are measured and offered. Every record leaves two things to the worker: the dtype,
which is part of what was bought, and `kv_cache_memory_bytes`, which is a fact of the machine.
"""

from collections.abc import Collection, Mapping
from importlib.util import find_spec

from metainf.devices import CPU, CUDA
from metainf.grammar import Device, build
from metainf.strategy import JsonValue, Strategy

DEFAULT_NAME = "vllm-default"

# What strategies need beside vLLM: the Python module that a method of speculation lives in.
EXTRAS = ("arctic_inference",)

_EXTRA_OF_METHOD = {"suffix": "arctic_inference"}


def _paper(device: Device) -> tuple[Strategy, ...]:
    """The arms of the paper, under its names."""
    return (
        device.strategy(
            "paper-batching",
            "continuous batching alone",
            {"enable_prefix_caching": False, "enable_chunked_prefill": False},
        ),
        device.strategy(
            "paper-caching", "continuous batching with prefix caching", {"enable_chunked_prefill": False}
        ),
        device.strategy(
            "paper-chunked", "continuous batching with chunked prefill", {"enable_prefix_caching": False}
        ),
    )


# A CPU has no graphs to capture, and compiling costs most of a minute at every start: the default runs eagerly.
_CPU: tuple[Strategy, ...] = (
    CPU.strategy(
        DEFAULT_NAME, "vLLM's own defaults, run eagerly: batching, prefix caching, chunked prefill", {}
    ),
    *_paper(CPU),
    build(CPU, "block-32"),
    build(CPU, "seqs-1"),
    build(CPU, "seqs-8"),
    build(CPU, "chunk-256"),
    build(CPU, "compiled"),
    build(CPU, "ngram-2"),
    build(CPU, "ngram-4"),
    build(CPU, "ngram-8"),
    build(CPU, "ngram-4", "block-32"),
    build(CPU, "ngram-8", "block-32"),
    build(CPU, "compiled", "block-32"),
    build(CPU, "suffix-24"),
)

# What vLLM 0.26 and 0.32 resolve on a GPU of the H100's memory; not measured by this project yet, so none is exact.
_CUDA: tuple[Strategy, ...] = (
    CUDA.strategy(DEFAULT_NAME, "vLLM's own defaults: compiled, CUDA graphs, asynchronous scheduling", {}),
    *_paper(CUDA),
    build(CUDA, "eager"),
    build(CUDA, "piecewise"),
    build(CUDA, "seqs-32"),
    build(CUDA, "seqs-256"),
    build(CUDA, "chunk-2048"),
    build(CUDA, "seqs-256", "chunk-512"),
    build(CUDA, "block-64"),
    build(CUDA, "sync"),
    build(CUDA, "ngram-4"),
    build(CUDA, "ngram-8"),
    build(CUDA, "ngram-gpu-4"),
    build(CUDA, "suffix-24"),
)


def catalogue(device: str, vllm_version: str, extras: Collection[str] = ()) -> tuple[Strategy, ...]:
    """Every known strategy declared for this device and vLLM version, in a fixed order, the default first.

    One that needs more than vLLM (`EXTRAS`) is among them only if `extras` name it.
    """
    return tuple(
        strategy
        for strategy in (*_CPU, *_CUDA)
        if strategy.runs_on(device, vllm_version) and extra_needed(strategy.engine_args) in (None, *extras)
    )


def extra_needed(engine_args: Mapping[str, JsonValue]) -> str | None:
    """The Python module that these engine arguments need beside vLLM."""
    speculative = engine_args["speculative_config"]
    return _EXTRA_OF_METHOD.get(str(speculative["method"])) if isinstance(speculative, Mapping) else None


def installed_extras() -> tuple[str, ...]:
    """Those of `EXTRAS` that can be imported here."""
    return tuple(name for name in EXTRAS if find_spec(name) is not None)
