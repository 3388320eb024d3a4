"""What an NVIDIA GPU is, from `nvidia-smi` and its data sheet: facts that need no package of Python."""

import shutil
import subprocess
from dataclasses import dataclass

from metainf.errors import GpuUnknown
from metainf.facts import HardwareFacts


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Of NVIDIA's data sheets: dense half-precision FLOP/s, bytes of memory a second, compute capability."""

    half_flops: float
    memory_bytes_per_s: float
    compute_capability: tuple[int, int]

    @property
    def rates(self) -> tuple[int, int]:
        return int(self.memory_bytes_per_s), int(self.half_flops)


# By what `nvidia-smi` calls them; the first name that is part of it counts, so the longer come first.
_SHEETS = {
    "H200": _Sheet(989e12, 4.8e12, (9, 0)),
    "H100 PCIe": _Sheet(756e12, 2.0e12, (9, 0)),
    "H100": _Sheet(989e12, 3.35e12, (9, 0)),
    "A100": _Sheet(312e12, 2.0e12, (8, 0)),
    "L40S": _Sheet(362e12, 0.864e12, (8, 9)),
    "L4": _Sheet(121e12, 0.3e12, (8, 9)),
}

_NO_GPU = "install NVIDIA's driver, or choose the device cpu"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU's facts, its compute capability, and how many such GPUs the machine has."""

    hardware: HardwareFacts
    compute_capability: tuple[int, int]
    count: int


def detect_gpu(kv_cache_bytes: int, listing: str | None = None) -> Gpu:
    """The first GPU that `nvidia-smi` lists; `listing` stands in for its answer. Raises `GpuUnknown`."""
    lines = (listing if listing is not None else _ask()).strip().splitlines()
    if not lines:
        raise GpuUnknown("none", f"nvidia-smi lists no GPU; {_NO_GPU}")
    name, _, mebibytes = (part.strip() for part in lines[0].partition(","))
    sheet = _sheet(name)
    if sheet is None or not mebibytes.isdecimal():
        raise GpuUnknown(
            name, f"its data sheet is not known (known: {', '.join(_SHEETS)}); add it to metainf/gpu.py"
        )
    hardware = gpu_facts(name, int(mebibytes) << 20, kv_cache_bytes, sheet.rates)
    return Gpu(hardware, sheet.compute_capability, len(lines))


def gpu_facts(
    name: str, memory_bytes: int, kv_cache_bytes: int, rates_per_s: tuple[int, int]
) -> HardwareFacts:
    """What tables of measurements and workers alike know of a GPU; rates are bytes of memory and half-precision
    FLOP.
    """
    # Processors of the host play no part in what a GPU computes.
    return HardwareFacts("cuda", name, 1, memory_bytes, kv_cache_bytes, *rates_per_s)


def sheet_rates(name: str) -> tuple[int, int] | None:
    """Bytes of memory and half-precision FLOP a second of the data sheet; None for a GPU whose sheet is not known."""
    sheet = _sheet(name)
    return None if sheet is None else sheet.rates


def _sheet(name: str) -> _Sheet | None:
    return next((sheet for known, sheet in _SHEETS.items() if known in name), None)


def _ask() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        raise GpuUnknown("none", f"there is no nvidia-smi; {_NO_GPU}")
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise GpuUnknown("none", f"nvidia-smi says: {done.stdout.strip() or done.stderr.strip()}; {_NO_GPU}")
    return done.stdout
