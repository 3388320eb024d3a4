"""The environment variables an engine's process runs under."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import engine

SMALL_MACHINE_CORES = 4
SECRETS_PREFIX = "QUERN_"

_ALWAYS = {
    # Weights and tokenizer are local files whose digests were checked: an engine has no business on the
    # network.
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # The engine core in the child itself: one process per engine to watch and to kill.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # No third-party vLLM plugin is loaded unless a strategy names it.
    "VLLM_PLUGINS": "",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
}
_SMALL_MACHINE = {
    # Two OpenMP threads beside a busy neighbour are 8-45x slower than one; numba's ruin n-gram speculation.
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # vLLM would pin every engine of a shared machine to the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


def engine_environment(overrides: Mapping[str, str], cores: int | None = None) -> dict[str, str]:
    """The variables that shape an engine, `overrides` over our defaults. They go into EngineFacts.

    On a machine of more than `SMALL_MACHINE_CORES` cores the thread counts are left to vLLM, which follows
    the cores.
    """
    count = cores if cores is not None else os.cpu_count() or 1
    return {**_ALWAYS, **(_SMALL_MACHINE if count <= SMALL_MACHINE_CORES else {}), **overrides}


def process_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """All the child gets: ours over the parent's, without the operator's secrets, our code importable."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS_PREFIX)}
    root = str(Path(engine.__file__).resolve().parent.parent)
    python_path = os.pathsep.join(item for item in (root, inherited.get("PYTHONPATH", "")) if item)
    return {**inherited, **engine_environment(overrides), "PYTHONPATH": python_path}
