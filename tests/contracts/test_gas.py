"""Gas of whole transactions stays within its budgets and near its snapshot."""

import json
import subprocess

import pytest

from chain.node import HARDHAT_DIR, PROJECT_ROOT

TOLERANCE = 0.01
BUDGETS = {
    "submit": 95_000,
    "submit_many_10_each": 72_000,
    "claim_32_each": 10_000,
    "post_32_each": 12_000,
    "settle_32_each": 13_000,
    "life_alone": 240_000,
    "life_batched_32": 95_000,
    "life_per_prompt_100": 2_500,
}


@pytest.fixture(scope="module")
def figures() -> dict[str, int]:
    run = subprocess.run(
        [PROJECT_ROOT / "scripts" / "bench" / "gas"], check=True, capture_output=True, text=True, timeout=120
    )
    measured: dict[str, int] = json.loads(run.stdout.splitlines()[-1])
    return measured


@pytest.mark.parametrize("name", BUDGETS)
def test_gas_is_within_its_budget(figures: dict[str, int], name: str) -> None:
    assert 0 < figures[name] <= BUDGETS[name]


def test_gas_does_not_drift_from_the_snapshot(figures: dict[str, int]) -> None:
    snapshot = json.loads((HARDHAT_DIR / "snapshots" / "gas.json").read_text())
    assert snapshot.keys() == figures.keys() == BUDGETS.keys()
    drifted = {
        name: (snapshot[name], gas)
        for name, gas in figures.items()
        if abs(gas - snapshot[name]) > TOLERANCE * snapshot[name]
    }
    assert not drifted, f"if that is meant, run scripts/bench/gas --save: {drifted}"
