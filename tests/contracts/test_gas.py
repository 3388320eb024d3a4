"""Gas of whole transactions stays within its budgets and near its snapshot."""

import json
import subprocess

import pytest

from chain.node import PROJECT_ROOT
from scripts.bench.gas_of_a_life import BUDGETS, OTHERS_PAGE, PAGE, SNAPSHOT, comparison, table

TOLERANCE = 0.01


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
    snapshot = json.loads(SNAPSHOT.read_text())
    assert snapshot.keys() == figures.keys() == BUDGETS.keys()
    drifted = {
        name: (snapshot[name], gas)
        for name, gas in figures.items()
        if abs(gas - snapshot[name]) > TOLERANCE * snapshot[name]
    }
    assert not drifted, f"if that is meant, run scripts/bench/gas --save: {drifted}"


def test_the_pages_show_the_snapshot() -> None:
    snapshot = json.loads(SNAPSHOT.read_text())
    assert table(snapshot) in PAGE.read_text()
    assert comparison(snapshot) in OTHERS_PAGE.read_text()
