"""The variables an engine's process runs under, and what importing the room costs."""

import subprocess
import sys

import pytest

from engine.environment import engine_environment
from tests.checkout import ROOT


def test_a_small_machine_gets_one_thread_and_a_large_one_is_left_to_vllm():
    small, large = engine_environment({}, cores=2), engine_environment({}, cores=64)
    assert small["OMP_NUM_THREADS"] == small["NUMBA_NUM_THREADS"] == "1"
    assert not {"OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "VLLM_CPU_OMP_THREADS_BIND"} & large.keys()
    assert large["HF_HUB_OFFLINE"] == "1"


def test_a_strategys_variables_win():
    assert engine_environment({"OMP_NUM_THREADS": "3"}, cores=2)["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    "module",
    ["engine.base", "engine.fake", "engine.child", "engine.tokenizer", "engine.vllm", "engine.transformers"],
)
def test_importing_an_engine_module_imports_no_heavy_library(module: str):
    program = f"import {module}, sys; print(sorted({{'torch', 'vllm', 'transformers'}} & sys.modules.keys()))"
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shown.stdout.strip() == "[]"
