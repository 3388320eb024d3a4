"""`quern deploy` puts a market of one's own on a chain, once per file."""

from dataclasses import replace
from pathlib import Path

import pytest

from chain.deployment import check, load
from chain.devnet import dev_account
from chain.panel import Panel
from chain.presets import PRESETS
from protocol.abi import ZERO_ADDRESS
from quern.devnet import Preset
from tests.quern.conftest import Desk

MEMBERS = tuple(dev_account(index).address for index in (11, 12, 13))


def test_a_market_of_ones_own_works_with_every_command(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    members = ("--member", MEMBERS[0], "--member", MEMBERS[1], "--member", MEMBERS[2])
    ran = desk.run("deploy", "--rpc", desk.rpc.url, "-o", str(file), *members, "--yes", "--json")
    assert ran.status == 0, ran.err
    deployment = load(file)
    assert ran.json()["market"] == deployment.market
    assert deployment.market != desk.market.deployment.market
    assert replace(deployment.parameters, arbiter=ZERO_ADDRESS) == PRESETS["public"]
    panel = Panel(desk.rpc, deployment)
    assert (panel.members(), panel.threshold()) == (MEMBERS, 2)
    check(deployment, desk.rpc)
    assert desk.run("tasks", "--all", "--deployment", str(file)).status == 0


def test_a_deployment_file_is_never_overwritten(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text("mine")
    block = desk.rpc.block_number()
    ran = desk.run("deploy", "--rpc", desk.rpc.url, "-o", str(file), "--member", MEMBERS[0], "--yes")
    assert ran.status == 2
    assert "exists" in ran.err
    assert file.read_text() == "mine"
    assert desk.rpc.block_number() == block


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--member"),
        (["--member", MEMBERS[0], "--arbiter", MEMBERS[1]], "not both"),
        (["--member", MEMBERS[0], "--member", MEMBERS[0]], "different"),
        (["--member", MEMBERS[0], "--member", MEMBERS[1], "--threshold", "1"], "give 2 to 2"),
        (["--member", "0x12"], "40 hex digits"),
        (["--arbiter", MEMBERS[0]], "rulingSecs"),
        (["--member", MEMBERS[0], "--token", MEMBERS[0]], "ERC-20"),
    ],
)
def test_who_rules_and_in_what_currency_is_checked_before_anything_is_sent(
    desk: Desk, tmp_path: Path, options: list[str], said: str
) -> None:
    block = desk.rpc.block_number()
    file = tmp_path / "own.json"
    ran = desk.run("deploy", "--rpc", desk.rpc.url, "-o", str(file), *options, "--yes")
    assert ran.status == 2
    assert said in ran.err
    assert not file.exists()
    assert desk.rpc.block_number() == block


def test_every_preset_of_the_chain_room_can_be_asked_for():
    assert {preset.value for preset in Preset} == set(PRESETS)
