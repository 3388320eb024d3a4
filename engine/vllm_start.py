"""Bring vLLM up: its import traps, our defaults, its refusals turned into errors that name the argument."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pydantic

from engine.base import (
    BadEngineArgument,
    EngineConfig,
    EngineNotInstalled,
    EngineStartFailed,
    JsonValue,
    UnknownEngineArgument,
)
from engine.modelfiles import read_json
from engine.oom import crash, says_out_of_memory
from engine.quirks import hide_broken_modules, keep_eager_eager, spare_cpu_generators

if TYPE_CHECKING:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

# On a CPU vLLM would reserve a share of all memory, and fail to start where others use it.
# All of it is touched at the start.
_MIN_CPU_KV_CACHE_BYTES = 256 << 20
_MAX_CPU_KV_CACHE_BYTES = 4 << 30
_CPU_KV_CACHE_SHARE = 16

# The model is the config's, and code that ships with a model is never run.
_REFUSED = {
    "model": "the model directory is set apart from the strategy",
    "tokenizer": "the tokenizer is the model directory's",
    "trust_remote_code": "code from a model directory is never run",
}


def start_vllm(config: EngineConfig) -> tuple[LLMEngine, str, str]:
    """The engine, vLLM's version and the device.

    Raises UnknownEngineArgument, BadEngineArgument, ModelUnreadable, EngineNotInstalled, EngineOutOfMemory,
    EngineStartFailed.
    """
    read_json(config.model_dir / "config.json")
    for name in _REFUSED.keys() & config.engine_args.keys():
        raise BadEngineArgument(f"engine argument {name!r}: {_REFUSED[name]}: leave it out")
    hide_broken_modules()
    try:
        import vllm
        from vllm.engine.arg_utils import EngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.llm_engine import LLMEngine
    except ImportError as error:
        raise EngineNotInstalled(f"vllm engine: {error}: install the extra 'cpu' or 'gpu'") from error
    device: str = current_platform.device_type
    if not current_platform.is_cpu():
        device = f"{device}: {current_platform.get_device_name()}"
    arguments = _engine_args(EngineArgs, config, on_cpu=current_platform.is_cpu())
    try:
        vllm_config = arguments.create_engine_config()
    except (ValueError, TypeError, AssertionError, NotImplementedError) as error:
        raise BadEngineArgument(f"vllm engine: {_reason(error)}") from error
    if current_platform.is_cpu():
        spare_cpu_generators()
        if arguments.enforce_eager:
            keep_eager_eager()
    try:
        llm = LLMEngine.from_vllm_config(vllm_config, disable_log_stats=arguments.disable_log_stats)
    except Exception as error:
        if says_out_of_memory(f"{type(error).__name__}: {error}"):
            raise crash("vllm", error) from error
        raise EngineStartFailed(f"vllm engine: {type(error).__name__}: {_reason(error)}") from error
    return llm, vllm.__version__, device


def attention_backend(llm: LLMEngine) -> str:
    """The backend of the attention layers, as vLLM names it; "in workers" where other processes hold them."""
    layers = llm.vllm_config.compilation_config.static_forward_context.values()
    names = {layer.get_attn_backend().get_name() for layer in layers if hasattr(layer, "get_attn_backend")}
    return "+".join(sorted(names)) or "in workers"


def _engine_args(kind: type[EngineArgs], config: EngineConfig, *, on_cpu: bool) -> EngineArgs:
    known = {item.name for item in dataclasses.fields(kind)}
    for name in config.engine_args:
        if name not in known:
            raise UnknownEngineArgument(
                f"engine argument {name!r} is not one of vLLM's EngineArgs: correct the strategy"
            )
    defaults: Mapping[str, JsonValue] = {
        "kv_cache_memory_bytes": _cpu_kv_cache_bytes() if on_cpu else None,
        # Compiling costs a minute at every start on a CPU and gains little there.
        "enforce_eager": on_cpu,
        "disable_log_stats": False,
        "seed": 0,
    }
    arguments = {**defaults, **config.engine_args}
    try:
        return kind(model=str(config.model_dir), **arguments)
    except (ValueError, TypeError, AssertionError) as error:
        raise BadEngineArgument(f"vllm engine: {_reason(error)}") from error


def _cpu_kv_cache_bytes() -> int:
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(_MAX_CPU_KV_CACHE_BYTES, max(_MIN_CPU_KV_CACHE_BYTES, available // _CPU_KV_CACHE_SHARE))


def _reason(error: BaseException) -> str:
    if isinstance(error, pydantic.ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).strip().partition("\n")[0] or type(error).__name__
