"""`quern deploy` puts a market of one's own on a chain, once per file."""

from pathlib import Path

from chain.deployment import PRESETS, check, load
from quern.devnet import Preset
from tests.quern.conftest import Desk


def test_a_market_of_ones_own_works_with_every_command(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    ran = desk.run("deploy", "--rpc", desk.rpc.url, "-o", str(file), "--preset", "public", "--yes", "--json")
    assert ran.status == 0, ran.err
    deployment = load(file)
    assert ran.json()["market"] == deployment.market
    assert deployment.market != desk.market.deployment.market
    assert deployment.parameters == PRESETS["public"]
    check(deployment, desk.rpc)
    assert desk.run("tasks", "--all", "--deployment", str(file)).status == 0


def test_a_deployment_file_is_never_overwritten(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text("mine")
    block = desk.rpc.block_number()
    ran = desk.run("deploy", "--rpc", desk.rpc.url, "-o", str(file), "--yes")
    assert ran.status == 2
    assert "exists" in ran.err
    assert file.read_text() == "mine"
    assert desk.rpc.block_number() == block


def test_every_preset_of_the_chain_room_can_be_asked_for():
    assert {preset.value for preset in Preset} == set(PRESETS)
