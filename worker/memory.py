"""What memory there is for engines, what an engine will need of it, and what one takes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metainf import HardwareFacts, ModelFacts
from worker import gpus
from worker.config import Engine as EngineSettings

# What a process of the kind holds besides weights and KV cache: the library itself, activations, buffers.
_BASE_BYTES = {"vllm": 1 << 30, "fake": 64 << 20}
_CGROUP = Path("/sys/fs/cgroup")


class Memory(Protocol):
    """Where engines live: the host's, or a GPU's."""

    @property
    def limit_bytes(self) -> int:
        """What all engines together may take."""

    def free_bytes(self) -> int:
        """What can be had now."""

    def needed_bytes(self, model: ModelFacts) -> int:
        """What an engine is expected to take."""

    def taken_bytes(self, group: int) -> int:
        """What the processes of a group have; zero if none is left."""


def memory_of(settings: EngineSettings, hardware: HardwareFacts) -> Memory:
    """Where the engines of these settings live."""
    return _GpuMemory(settings, hardware) if hardware.device == "cuda" else _HostMemory(settings, hardware)


@dataclass(frozen=True, slots=True)
class _HostMemory:
    """Shared pages count by share. A control group's limit holds as much as the machine's."""

    settings: EngineSettings
    hardware: HardwareFacts

    @property
    def limit_bytes(self) -> int:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return int(self.settings.memory_share * min(physical, _cgroup_bytes("memory.max") or physical))

    def free_bytes(self) -> int:
        free = _available_bytes()
        limit, used = _cgroup_bytes("memory.max"), _cgroup_bytes("memory.current")
        return free if limit is None or used is None else min(free, max(0, limit - used))

    def needed_bytes(self, model: ModelFacts) -> int:
        base = _BASE_BYTES[self.settings.kind]
        return base if self.settings.kind == "fake" else base + _engine_bytes(model, self.hardware, 1)

    def taken_bytes(self, group: int) -> int:
        return sum(_pss_bytes(pid) for pid in _members(group))


@dataclass(frozen=True, slots=True)
class _GpuMemory:
    """Of the fullest device, where an engine takes several."""

    settings: EngineSettings
    hardware: HardwareFacts

    @property
    def limit_bytes(self) -> int:
        return int(self.settings.memory_share * self.hardware.memory_bytes)

    def free_bytes(self) -> int:
        return min((gpu.free_bytes for gpu in gpus.gpus()), default=0)

    def needed_bytes(self, model: ModelFacts) -> int:
        return _BASE_BYTES[self.settings.kind] + _engine_bytes(model, self.hardware, self.settings.devices)

    def taken_bytes(self, group: int) -> int:
        return gpus.taken_bytes(_members(group))


def _engine_bytes(model: ModelFacts, hardware: HardwareFacts, devices: int) -> int:
    """As the selector counts it: weights and KV cache."""
    return model.weight_bytes // devices + hardware.kv_cache_bytes


def _members(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            pid = int(entry.name)
            try:
                if os.getpgid(pid) == group:
                    found.append(pid)
            except ProcessLookupError:
                continue
    return found


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cgroup_bytes(name: str) -> int | None:
    """None without a limit, or where control groups are not to be seen."""
    try:
        text = (_CGROUP / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
