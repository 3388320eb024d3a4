"""A sweep runs from a bare checkout with vLLM, NumPy and PyArrow alone: every other package is kept from it here."""

import subprocess
import sys
from pathlib import Path

import pytest

from metainf import ModelFacts
from metainf.campaign import budget_secs
from metainf.compatibility import Surroundings, offered
from metainf.errors import BudgetUnreadable, GpuUnknown
from metainf.gpu import detect_gpu
from metainf.shapes import GPU_MODELS
from metainf.sweeps import gpu_sweep
from metainf.table import read_table
from tests.checkout import ROOT

# vLLM brings `packaging`; what else it brings is not counted on outside the engine's process.
ALONE = """
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

ALLOWED = {"numpy", "pyarrow", "packaging", "metainf", "engine", "protocol"}

class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        allowed = top in ALLOWED or top in sys.stdlib_module_names
        return PathFinder.find_spec(name, path, target) if allowed else None

sys.meta_path = [BuiltinImporter, FrozenImporter, Bare]
"""
LISTING = "NVIDIA H200, 143771\nNVIDIA H200, 143771\n"


def alone(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", ALONE + program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_sweep_is_planned_measured_and_written_without_any_other_package(tiny_model_dir, tmp_path):
    program = """
from functools import partial
from pathlib import Path
import metainf.__main__
from metainf.catalogue import catalogue
from metainf.gpu import detect_gpu
from metainf.measure import Setting, Task
from metainf.planner import Sweep, run_sweep
from metainf.sweeps import gpu_shapes, gpu_sweep, _replay_tasks
from metainf.traces import SMALL_REPLAYS
table, model_dir, folder = map(Path, sys.argv[1:4])
gpu = detect_gpu(1 << 30, sys.argv[4])
sweep = gpu_sweep(gpu_shapes(()), folder, gpu, "0.26.0")
assert len(sweep.strategies) >= 12 and all(len(setting.tasks) >= 24 for setting in sweep.settings)
setting = Setting("tiny", model_dir, gpu.hardware, _replay_tasks(512, 512, SMALL_REPLAYS[:2]))
fake = Sweep((setting,), sweep.strategies[:3], repeats=1, resident=1, engine_kind="fake")
print(run_sweep(fake, table))
"""
    done = alone(program, str(tmp_path / "t.parquet"), str(tiny_model_dir), str(tmp_path), LISTING)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == len(read_table(tmp_path / "t.parquet")) == 6
    assert {row.family for row in read_table(tmp_path / "t.parquet")} == {"chat"}


def test_other_packages_are_really_kept_away():
    for name in ("catboost", "pydantic", "rfc8785", "eth_hash", "typer"):
        assert f"No module named '{name}'" in alone(f"import {name}").stderr


def test_bad_words_get_one_line_and_exit_status_2(tmp_path):
    def said(*arguments: str) -> tuple[int, str]:
        command = [
            sys.executable,
            "-m",
            "metainf",
            "measure",
            "--table",
            str(tmp_path / "t.parquet"),
            *arguments,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr.strip()

    assert said("--budget", "soon") == (
        2,
        "METAINF-022 budget 'soon': give seconds, minutes or hours, such as 90s, 8m or 2h",
    )
    (tmp_path / "t.parquet").write_bytes(b"")
    status, words = said()
    assert status == 2
    assert words.startswith("METAINF-021 table")
    assert "--resume" in words
    status, words = said("--resume")
    assert status == 2
    assert words.startswith("METAINF-006 table")


def test_a_budget_is_seconds_minutes_or_hours():
    assert [budget_secs(text) for text in ("90s", "8m", "1.5h")] == [90, 480, 5400]
    assert budget_secs(None) == float("inf")
    for text in ("8", "8 m", "-8m", "m", "8d"):
        with pytest.raises(BudgetUnreadable):
            budget_secs(text)


def test_a_gpu_is_known_by_its_name_and_one_that_is_not_is_refused():
    gpu = detect_gpu(16 << 30, LISTING)
    assert (gpu.hardware.name, gpu.hardware.device, gpu.count) == ("NVIDIA H200", "cuda", 2)
    assert gpu.hardware.memory_bytes == 143771 << 20
    assert gpu.hardware.memory_bytes_per_s == 4_800_000_000_000
    assert detect_gpu(1, "NVIDIA H100 PCIe, 81559").hardware.memory_bytes_per_s == 2_000_000_000_000
    for listing in ("", "NVIDIA Voodoo2, 12", "NVIDIA H200, many"):
        with pytest.raises(GpuUnknown):
            detect_gpu(1, listing)


def test_gpu_models_have_the_published_number_of_parameters(tmp_path: Path):
    counted = {shape.name: ModelFacts.from_dir(shape.write(tmp_path)) for shape in GPU_MODELS}
    assert counted["llama-3.2-1b"].parameters == pytest.approx(1.236e9, rel=0.01)
    assert counted["llama-3.1-8b"].parameters == pytest.approx(8.030e9, rel=0.01)
    assert counted["qwen2.5-7b"].parameters == pytest.approx(7.616e9, rel=0.01)
    assert {facts.dtype for facts in counted.values()} == {"bfloat16"}
    assert all(facts.weight_bytes == 2 * facts.parameters for facts in counted.values())


def test_no_gpu_strategy_of_the_sweep_is_one_that_the_filter_refuses(tmp_path: Path):
    gpu = detect_gpu(16 << 30, LISTING)
    sweep = gpu_sweep(GPU_MODELS, tmp_path, gpu, "0.32.0")
    assert len(sweep.strategies) * sum(len(setting.tasks) for setting in sweep.settings) >= 3 * 12 * 24
    for setting in sweep.settings:
        where = Surroundings(
            "cuda",
            "0.32.0",
            compute_capability=gpu.compute_capability,
            model=ModelFacts.from_dir(setting.model_dir),
            hardware=setting.hardware,
        )
        assert list(offered(sweep.strategies, where)) == list(sweep.strategies)
