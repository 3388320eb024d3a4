"""Import of LLM-Inference-Bench (Argonne National Laboratory, arXiv 2411.00136, BSD-3-Clause): `All_results.csv`.

A task is a model on some devices with a length and a batch size; the alternatives are serving frameworks; the cost
is the latency in seconds. The table has defects, which `clean` removes: above batch 1 the rows of llama.cpp time
one sequence instead of the batch, and the rows of "Intel Max 1550" contradict each other. Repeats of the same
cell are taken as their geometric mean. Peak rates are the vendors' dense FP16 figures, shapes are of the models'
published `config.json`.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path

from metainf.errors import TableUnreadable
from metainf.files import in_place_of

DEFAULT_FRAMEWORK = "vLLM"

_COLUMNS = (
    "Hardware",
    "Num of Hardware",
    "Framework",
    "Model",
    "Input Output Length",
    "Batch Size",
    "Latency",
)
_TIMES_ONE_SEQUENCE = "llama.cpp"
_CONTRADICTORY = "Intel Max 1550"
# A step of a serving engine costs about this much beside arithmetic and memory traffic.
_STEP_SECS = 0.005
_MOST = 10**9


@dataclass(frozen=True, slots=True)
class _Device:
    """One accelerator: dense FP16 rate, memory bandwidth, memory, maker."""

    flops: float
    memory_bytes_per_s: float
    memory_bytes: float
    maker: str


@dataclass(frozen=True, slots=True)
class _Model:
    """A decoder's shape; `active_parameters` is what one token passes through."""

    parameters: float
    active_parameters: float
    layers: int
    hidden: int
    kv_heads: int
    head_dim: int
    vocab: int
    experts: int = 0

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of key and value in FP16."""
        return 4 * self.layers * self.kv_heads * self.head_dim


_DEVICES = {
    "AMD MI250 GPU": _Device(362e12, 3.277e12, 128e9, "amd"),
    "AMD MI300X GPU": _Device(1307e12, 5.3e12, 192e9, "amd"),
    "Nvidia A100 GPU": _Device(312e12, 1.555e12, 40e9, "nvidia"),
    "Nvidia H100 GPU": _Device(989e12, 3.35e12, 80e9, "nvidia"),
    "Nvidia GH200 GPU": _Device(989e12, 4.0e12, 96e9, "nvidia"),
    "Intel PVC GPU": _Device(839e12, 3.277e12, 128e9, "intel"),
    "Intel Max 1550": _Device(839e12, 3.277e12, 128e9, "intel"),
    "Habana Gaudi2": _Device(432e12, 2.46e12, 96e9, "intel"),
    "SambaNova SN40L": _Device(638e12, 1.6e12, 64e9, "sambanova"),
}

_MODELS = {
    "meta-llama/Llama-2-7b-hf": _Model(6.74e9, 6.74e9, 32, 4096, 32, 128, 32000),
    "meta-llama/Llama-2-70b-hf": _Model(68.98e9, 68.98e9, 80, 8192, 8, 128, 32000),
    "meta-llama/Meta-Llama-3-8B": _Model(8.03e9, 8.03e9, 32, 4096, 8, 128, 128256),
    "meta-llama/Meta-Llama-3-70B": _Model(70.55e9, 70.55e9, 80, 8192, 8, 128, 128256),
    "mistralai/Mistral-7B-v0.1": _Model(7.24e9, 7.24e9, 32, 4096, 8, 128, 32000),
    "mistralai/Mixtral-8x7B-v0.1": _Model(46.7e9, 12.88e9, 32, 4096, 8, 128, 32000, 8),
    "Qwen/Qwen2-7B": _Model(7.62e9, 7.62e9, 28, 3584, 4, 128, 152064),
    "Qwen/Qwen2-72B": _Model(72.71e9, 72.71e9, 80, 8192, 8, 128, 152064),
    "Qwen/Qwen1.5-7B": _Model(7.72e9, 7.72e9, 32, 4096, 32, 128, 151936),
    "Deci/DeciLM-7B": _Model(7.04e9, 7.04e9, 32, 4096, 2, 128, 32000),
    "BAAI/Aquila-7B": _Model(7.3e9, 7.3e9, 32, 4096, 32, 128, 100008),
    "bigscience/bloom-7b1": _Model(7.07e9, 7.07e9, 30, 4096, 32, 128, 250880),
    "EleutherAI/gpt-j-6b": _Model(6.05e9, 6.05e9, 28, 4096, 16, 256, 50400),
    "huggyllama/llama-7b": _Model(6.74e9, 6.74e9, 32, 4096, 32, 128, 32000),
    "facebook/opt-6.7b": _Model(6.66e9, 6.66e9, 32, 4096, 32, 128, 50272),
}


@dataclass(frozen=True, slots=True, order=True)
class _Task:
    hardware: str
    devices: int
    model: str
    length: int
    batch: int

    @property
    def task_id(self) -> str:
        return f"{self.hardware} x{self.devices}/{self.model}/{self.length} tokens/batch {self.batch}"


def import_table(source: Path, target: Path, *, clean: bool) -> int:
    """Write the table of costs that `generic` reads, as CSV; the number of tasks with two or more frameworks.

    Raises `TableUnreadable` for a file of another form, or with hardware or models nobody has described here.
    """
    cells: dict[tuple[_Task, str], list[float]] = defaultdict(list)
    for line, row in enumerate(_rows(source), start=2):
        task, framework, latency = _parsed(source, line, row)
        timed_wrongly = framework == _TIMES_ONE_SEQUENCE and task.batch > 1
        if not (clean and (timed_wrongly or task.hardware == _CONTRADICTORY)):
            cells[task, framework].append(log(latency))
    offered: dict[_Task, int] = defaultdict(int)
    for task, _ in cells:
        offered[task] += 1
    with (
        in_place_of(target) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        writer: csv.DictWriter[str] | None = None
        for (task, framework), logs in sorted(cells.items()):
            described = {
                "task_id": task.task_id,
                "alternative": framework,
                "cost": f"{exp(sum(logs) / len(logs)):.6g}",
                "group_model": task.model,
                "group_hardware": task.hardware,
                **{name: f"{value:.8g}" for name, value in _features(task).items()},
            }
            if writer is None:
                writer = csv.DictWriter(file, list(described))
                writer.writeheader()
            writer.writerow(described)
    return sum(count >= 2 for count in offered.values())


def _rows(source: Path) -> Sequence[dict[str, str]]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise TableUnreadable(str(source), f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableUnreadable(str(source), f"no CSV text ({error})") from error
    missing = [name for name in _COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise TableUnreadable(str(source), f"columns missing: {', '.join(missing)}")
    return rows


def _parsed(source: Path, line: int, row: dict[str, str]) -> tuple[_Task, str, float]:
    text = {name: (row[name] or "").strip() for name in _COLUMNS}
    try:
        task = _Task(
            hardware=text["Hardware"],
            devices=int(text["Num of Hardware"]),
            model=text["Model"],
            length=int(text["Input Output Length"]),
            batch=int(text["Batch Size"]),
        )
        latency = float(text["Latency"])
    except ValueError as error:
        raise TableUnreadable(str(source), f"line {line}: {error}") from error
    for name, count in (("devices", task.devices), ("length", task.length), ("batch size", task.batch)):
        if not 0 < count <= _MOST:
            raise TableUnreadable(str(source), f"line {line}: {name} {count} is not from 1 to {_MOST}")
    if not 0 < latency < float("inf"):
        raise TableUnreadable(str(source), f"line {line}: latency {latency} s")
    for name, known in ((task.hardware, _DEVICES), (task.model, _MODELS)):
        if name not in known:
            raise TableUnreadable(str(source), f"line {line}: {name!r} is not described in this importer")
    return task, text["Framework"], latency


def _features(task: _Task) -> dict[str, float]:
    """What is known beforehand; `expected` is the roofline of a framework that batches."""
    device, model = _DEVICES[task.hardware], _MODELS[task.model]
    bandwidth = device.memory_bytes_per_s * task.devices
    memory = device.memory_bytes * task.devices
    kv_bytes = model.kv_bytes_per_token * task.batch * task.length * 1.5
    weight_bytes = 2 * model.parameters
    weight_secs = task.length * weight_bytes / bandwidth
    kv_secs = task.length * kv_bytes / bandwidth
    flop_secs = 4 * model.active_parameters * task.batch * task.length / (device.flops * task.devices)
    return {
        "expected": weight_secs + kv_secs + flop_secs + task.length * _STEP_SECS,
        "t_hardware_is_nvidia": float(device.maker == "nvidia"),
        "t_hardware_is_amd": float(device.maker == "amd"),
        "t_log_devices": log(task.devices),
        "t_log_flops": log(device.flops),
        "t_log_memory_bytes_per_s": log(device.memory_bytes_per_s),
        "t_log_memory_bytes": log(device.memory_bytes),
        "t_log_parameters": log(model.parameters),
        "t_log_active_parameters": log(model.active_parameters),
        "t_layers": float(model.layers),
        "t_log_hidden": log(model.hidden),
        "t_log_kv_heads": log(model.kv_heads),
        "t_log_kv_bytes_per_token": log(model.kv_bytes_per_token),
        "t_log_vocab": log(model.vocab),
        "t_experts": float(model.experts),
        "t_log_length": log(task.length),
        "t_log_batch": log(task.batch),
        "t_log_tokens": log(task.batch * task.length),
        "t_log_weight_secs": log(weight_secs),
        "t_log_kv_secs": log(kv_secs),
        "t_log_flop_secs": log(flop_secs),
        "t_log_memory_filled": log((weight_bytes + kv_bytes) / memory),
        "t_log_kv_memory_filled": log(kv_bytes / memory),
    }
