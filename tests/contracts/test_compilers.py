"""The three compilers of the project make the same contracts."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from chain.compiler import CONTRACTS, Artifact, compile_contracts
from chain.node import HARDHAT_DIR, hardhat_cli, node_binary

MAX_CODE_BYTES = 24_576


@pytest.fixture(scope="module")
def deployed() -> dict[str, Artifact]:
    return compile_contracts()


def test_forge_tests_the_bytes_that_are_deployed(deployed: dict[str, Artifact]) -> None:
    subprocess.run([HARDHAT_DIR / "forge", "build"], check=True, capture_output=True)
    for name in CONTRACTS:
        made = json.loads((HARDHAT_DIR / "out" / f"{name}.sol" / f"{name}.json").read_text())
        assert made["bytecode"]["object"] == "0x" + deployed[name].bytecode.hex()


# Hardhat has one configuration for all contracts: the quick ones show what it makes of it.
@pytest.mark.parametrize(
    "names", [("ModelRegistry", "PanelArbiter"), pytest.param(CONTRACTS, marks=pytest.mark.deep)]
)
def test_hardhat_makes_the_bytes_that_are_deployed(
    deployed: dict[str, Artifact], tmp_path: Path, names: tuple[str, ...]
) -> None:
    environment = {**os.environ, "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true", "HOME": str(tmp_path)}
    subprocess.run(
        [node_binary(), hardhat_cli(), "build", "--no-tests", *(f"contracts/{name}.sol" for name in names)],
        cwd=HARDHAT_DIR,
        env=environment,
        check=True,
        capture_output=True,
    )
    for name in names:
        file = HARDHAT_DIR / "artifacts" / "contracts" / f"{name}.sol" / f"{name}.json"
        assert json.loads(file.read_text())["bytecode"] == "0x" + deployed[name].bytecode.hex()


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_fits_the_size_limit(deployed: dict[str, Artifact], name: str) -> None:
    assert 100 < len(deployed[name].runtime) < MAX_CODE_BYTES
