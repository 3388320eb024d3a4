"""NVIDIA GPUs, as `nvidia-smi` lists them and torch measures them. None of it has run on a GPU by this project yet."""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass

from worker.errors import GpuUnusable

_SMI_SECS = 20.0
_PROBE_SECS = 180.0
_MIB = 1 << 20

# Copy rate in bytes a second, read and write counted, and products of 16-bit matrices: what models on GPUs run in.
_PROBE = """
import json, time, torch

def best(work, times=8):
    quickest = float("inf")
    for _ in range(times):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        quickest = min(quickest, time.perf_counter() - began)
    return quickest

source = torch.ones(1 << 28, dtype=torch.uint8, device="cuda")
target = torch.empty_like(source)
side = 4096
matrix = torch.ones(side, side, dtype=torch.bfloat16, device="cuda")
copy_rate = 2 * source.numel() / best(lambda: target.copy_(source))
flops = 2 * side ** 3 / best(lambda: matrix @ matrix)
print(json.dumps([copy_rate, flops]))
"""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device."""

    name: str
    memory_bytes: int
    free_bytes: int


def gpus() -> tuple[Gpu, ...]:
    """Those that CUDA programs see here; none where there is no driver."""
    rows = _smi("--query-gpu=name,memory.total,memory.free")
    return tuple(Gpu(name, int(total) * _MIB, int(free) * _MIB) for name, total, free in rows)


def taken_bytes(pids: Collection[int]) -> int:
    """Memory of these processes, on the device where they have most of it."""
    by_device: dict[str, int] = {}
    for device, pid, used in _smi("--query-compute-apps=gpu_uuid,pid,used_memory"):
        if used.isdecimal() and int(pid) in pids:
            by_device[device] = by_device.get(device, 0) + int(used) * _MIB
    return max(by_device.values(), default=0)


def measured_rates() -> tuple[int, int]:
    """Bytes and floating-point operations a second of the first device. Raises GpuUnusable."""
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECS, check=False)
    except subprocess.TimeoutExpired as error:
        raise GpuUnusable("cuda", f"no answer to a small calculation within {_PROBE_SECS:g} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise GpuUnusable("cuda", f"torch cannot calculate on it: {last}")
    bytes_per_s, flops = json.loads(done.stdout.strip().rpartition("\n")[2])
    return int(float(f"{bytes_per_s:.1e}")), int(float(f"{flops:.1e}"))


def _smi(query: str) -> list[list[str]]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return []
    command = [
        "nvidia-smi",
        query,
        "--format=csv,noheader,nounits",
        *([f"--id={visible}"] if visible else []),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_SECS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    return [[field.strip() for field in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
