"""The device: found or refused; models spread over several as the settings say."""

from dataclasses import replace
from pathlib import Path

import pytest

from metainf import catalogue
from metainf.gpu import detect_gpu
from tests.worker.engine_room import MACHINE, served
from tests.worker.harness import MODEL_DIR
from worker import gpus, machine
from worker.config import Chain, Engine, Keys, Model, Store, WorkerConfig
from worker.database import Database
from worker.errors import CannotShare, GpuUnusable
from worker.jobs import engine_config
from worker.machine import Machine
from worker.memory import memory_of

MODEL = served()
STRATEGY = catalogue("cpu", "0.32.0")[0]
# As nvidia-smi 580 prints two of them, by query.
SMI = """#!/bin/sh
case "$1" in
--query-gpu=*) printf '%s\\n' 'NVIDIA H100 80GB HBM3, 81559, 81000' 'NVIDIA H100 80GB HBM3, 81559, 40000' ;;
--query-compute-apps=*) printf '%s\\n' 'GPU-a, 7, 1000' 'GPU-b, 7, 300' 'GPU-b, 8, 900' 'GPU-a, 9, [N/A]' ;;
esac
"""


def config(home: Path, **engine: object) -> WorkerConfig:
    return WorkerConfig(
        state_dir=home,
        chain=Chain(deployment=home / "deployment.json"),
        store=Store(url=str(home / "store")),
        keys=Keys(keystore=home / "keystore.json"),
        models=(Model(path=MODEL_DIR),),
        engine=Engine(**engine),
    )


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A driver's tool that lists two GPUs; there are none behind it."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.write_text(SMI)
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_without_a_gpu_auto_is_the_cpu_and_asking_for_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Machine(config(tmp_path)).device == "cpu"
    assert Machine(config(tmp_path, device="cpu")).device == "cpu"
    with pytest.raises(GpuUnusable, match=r"WORKER-016 engine\.device"):
        Machine(config(tmp_path, device="cuda"))


def test_a_gpu_is_of_no_use_without_vllm_for_it(tmp_path, two_gpus):
    """This project's checkout has vLLM for CPUs."""
    assert Machine(config(tmp_path)).device == "cpu"
    with pytest.raises(GpuUnusable, match="vLLM for GPUs is not installed"):
        Machine(config(tmp_path, device="cuda"))


def test_a_worker_sees_its_gpu_as_tables_of_measurements_describe_it(tmp_path, two_gpus, monkeypatch):
    monkeypatch.setattr(machine, "_installed", lambda _: "0.32.0")
    found = Machine(config(tmp_path, device="cuda", kv_cache_mib=512))
    database = Database(tmp_path / "worker.db")
    facts = found.hardware_facts(database, [MODEL])
    database.close()
    assert facts == detect_gpu(512 << 20, "NVIDIA H100 80GB HBM3, 81559").hardware


def test_what_the_drivers_tool_prints_is_read(two_gpus, monkeypatch):
    assert gpus.gpus() == (
        gpus.Gpu("NVIDIA H100 80GB HBM3", 81559 << 20, 81000 << 20),
        gpus.Gpu("NVIDIA H100 80GB HBM3", 81559 << 20, 40000 << 20),
    )
    assert gpus.taken_bytes({7, 9}) == 1000 << 20
    assert gpus.taken_bytes({7, 8}) == 1200 << 20
    assert gpus.taken_bytes(set()) == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.gpus() == ()


def test_a_gpu_that_torch_cannot_use_is_refused_with_torchs_words():
    with pytest.raises(GpuUnusable, match="torch cannot calculate on it"):
        gpus.measured_rates()


def test_the_kv_cache_is_the_settings_or_what_suits_the_device(tmp_path):
    database = Database(tmp_path / "worker.db")
    found = Machine(config(tmp_path)).hardware_facts(database, [MODEL])
    assert (found.device, found.kv_cache_bytes) == ("cpu", 256 << 20)
    again = Machine(config(tmp_path, kv_cache_mib=512)).hardware_facts(database, [MODEL])
    assert again == replace(found, kv_cache_bytes=512 << 20)


def test_room_on_a_gpu_is_counted_by_its_own_memory(two_gpus):
    hardware = replace(MACHINE, device="cuda", memory_bytes=80 << 30, kv_cache_bytes=10 << 30)
    memory = memory_of(Engine(memory_share=0.5, tensor_parallel=2), hardware)
    assert (memory.limit_bytes, memory.free_bytes()) == (40 << 30, 40000 << 20)
    large = replace(MODEL.facts, parameters=10**9, weight_bytes_per_param=2)
    assert memory.needed_bytes(large) == 10**9 + (11 << 30)


@pytest.mark.parametrize(
    ("settings", "own", "expected"),
    [({}, {}, (1, 1)), ({"tensor_parallel": 2, "pipeline_parallel": 2}, {}, (2, 2)),
     ({"tensor_parallel": 2}, {"tensor_parallel_size": 4}, (4, 1))],
)  # fmt: skip
def test_parallel_sizes_reach_the_engine_and_a_strategys_own_win(settings, own, expected):
    strategy = replace(STRATEGY, engine_args={**STRATEGY.engine_args, **own})
    arguments = engine_config(Engine(**settings), MODEL, strategy, 256 << 20).engine_args
    assert (arguments["tensor_parallel_size"], arguments["pipeline_parallel_size"]) == expected


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"tensor_parallel": 3}, "divisor of the 4 heads"), ({"pipeline_parallel": 5}, "at most the 4 layers")],
)
def test_sizes_that_the_model_does_not_divide_into_are_refused(tmp_path, settings, problem):
    with pytest.raises(CannotShare, match=f"WORKER-017 engine.*{problem}"):
        Machine(config(tmp_path, **settings)).check_sharing([MODEL])
    Machine(config(tmp_path, tensor_parallel=2, pipeline_parallel=4)).check_sharing([MODEL])
