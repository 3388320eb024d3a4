"""Telling a lack of memory from other ends: the kernel counts its kills, libraries say it in words."""

from __future__ import annotations

import re
from pathlib import Path

from engine.base import EngineCrashed, EngineOutOfMemory

_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
# As Python, torch on a CPU, torch on a GPU, the C library and vLLM put it.
_WORDS = re.compile(
    r"MemoryError|OutOfMemoryError|out of memory|can'?t allocate memory|bad_alloc", re.IGNORECASE
)


def kernel_kills(counters: tuple[Path, ...] = _COUNTERS) -> int:
    """Processes killed for memory so far, in this control group or on this machine; 0 where nothing counts them."""
    total = 0
    for path in counters:
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return total


def says_out_of_memory(text: str) -> bool:
    """Whether an error's words, or a log's last line, mean a lack of memory."""
    return _WORDS.search(text) is not None


def crash(kind: str, error: BaseException) -> EngineCrashed:
    """What an exception inside an engine is to its callers."""
    text = f"{type(error).__name__}: {error}"
    found = EngineOutOfMemory if says_out_of_memory(text) else EngineCrashed
    return found(f"{kind} engine: {text}")
