"""A wallet without ether asks, and takes back: it signs, and somebody else pays the gas."""

import json
from pathlib import Path

import pytest

from chain.call import Call
from chain.devnet import dev_account
from chain.sender import Sender
from protocol.lifecycle import TaskState
from tests.quern.conftest import ETHER_WEI, PASSWORD, answer, light_wallet
from wallet.keystore import Keystore


@pytest.fixture
def poor(desk):
    """Wallet `bob`: money in the market, no ether at all. `carol` has ether and none of the market's."""
    bob, carol = light_wallet(desk.home, "bob"), light_wallet(desk.home, "carol")
    bank = Sender(desk.rpc, dev_account(0))
    bank.send_and_wait(Call("fund", carol.address, b"", ETHER_WEI))
    bank.send_and_wait(desk.market.deposit(bob.address, 10_000_000))
    assert desk.rpc.balance_wei(bob.address) == 0
    return bob


RELAYED = ("--wallet", "bob", "--relayer", "carol")


def test_a_wallet_without_ether_asks_and_the_relayer_pays_the_gas(desk, poor, worker):
    carol = Keystore(desk.home / "wallets").get("carol").address
    before = desk.rpc.balance_wei(carol)
    ran = desk.run("submit", "what is 2 + 2", "--yes", "--json", *RELAYED)
    assert ran.status == 0, ran.err
    told = ran.json()
    assert told["sender"] == carol
    task = desk.market.task(bytes.fromhex(told["task"][2:]))
    assert (task.state, task.requester) == (TaskState.OPEN, poor.address)
    assert desk.rpc.balance_wei(poor.address) == 0
    assert desk.rpc.balance_wei(carol) < before
    assert desk.market.account(poor.address).free_units == 10_000_000 - told["max_price_units"]
    worker.serve(told["task"], answer("prompt-1", "four"))
    assert desk.run("result", told["task"]).out == "four\n"


def test_it_takes_the_task_back_the_same_way(desk, poor):
    task = desk.run("submit", "what is 2 + 2", "--yes", "--json", *RELAYED).json()["task"]
    assert desk.run("cancel", task, *RELAYED).status == 0
    assert desk.market.account(poor.address).free_units == 10_000_000
    assert desk.market.task(bytes.fromhex(task[2:])).state is TaskState.REFUNDED


def test_the_relayer_may_be_a_keystore_file_with_a_password_of_its_own(desk, poor, tmp_path):
    elsewhere = tmp_path / "relayer.json"
    elsewhere.write_bytes((desk.home / "wallets" / "carol.json").read_bytes())
    (desk.home / "wallets" / "carol.json").unlink()
    (tmp_path / "its-password").write_text(PASSWORD)
    file = str(tmp_path / "its-password")
    ran = desk.run(
        *("submit", "what is 4", "--yes", "--json", "--wallet", "bob", "--relayer", str(elsewhere)),
        *("--relayer-password-file", file),
    )
    assert ran.status == 0, ran.err


def test_money_that_is_not_in_the_market_cannot_be_signed_for(desk, poor):
    before = desk.footprint()
    ran = desk.run("submit", "what is 2 + 2", "--yes", "--max-fee", "0.02ether", *RELAYED)
    assert ran.status == 2
    assert "ASK-011" in ran.err
    assert "'quern money deposit' first" in ran.err
    assert desk.footprint() == before


def test_a_relayer_without_ether_is_told_so_before_anything_is_signed(desk, poor):
    light_wallet(desk.home, "dave")
    before = desk.footprint()
    ran = desk.run("submit", "what is 2 + 2", "--yes", "--wallet", "bob", "--relayer", "dave")
    assert ran.status == 2
    assert "for gas" in ran.err
    assert desk.footprint() == before


def test_a_relayer_that_is_no_wallet_is_refused(desk, poor):
    ran = desk.run("submit", "what is 2 + 2", "--yes", "--wallet", "bob", "--relayer", "nobody")
    assert (ran.status, "WALLET-002" in ran.err) == (2, True)


def test_a_request_that_was_never_sent_is_called_off_for_ever(desk):
    snapshot = desk.rpc.call("evm_snapshot")
    task = desk.submit()
    desk.rpc.call("evm_revert", snapshot)
    assert desk.run("revoke", task, "--yes", "--json").json() == {"task": task, "revoked": True}
    assert desk.market.task(bytes.fromhex(task[2:])).state is TaskState.REFUNDED
    assert desk.run("submit", "--resume", task).status == 0
    assert desk.market.task(bytes.fromhex(task[2:])).state is TaskState.REFUNDED
    again = desk.run("revoke", task, "--yes")
    assert (again.status, "DESK-006" in again.err) == (2, True)


def test_a_request_that_is_a_task_is_cancelled_and_not_revoked(desk):
    task = desk.submit()
    before = desk.footprint()
    ran = desk.run("revoke", task, "--yes")
    assert (ran.status, "'quern cancel'" in ran.err) == (2, True)
    assert desk.footprint() == before


@pytest.fixture
def signed(desk, poor, tmp_path):
    """Signs a question of bob's into a file."""

    def sign(number: int, *options: str):
        file = tmp_path / f"{number}.json"
        ran = desk.run(
            "submit", "what is 4", "--yes", "--json", "--wallet", "bob", "--sign-to", str(file), *options
        )
        assert ran.status == 0, ran.err
        return str(file), ran.json()["task"]

    return sign


def test_many_signed_requests_go_in_one_transaction_of_somebody_else(desk, signed):
    before = desk.rpc.block_number()
    files, tasks = zip(*[signed(number) for number in range(3)], strict=True)
    assert desk.rpc.block_number() == before
    ran = desk.run("relay", *files, "--wallet", "carol", "--yes", "--json")
    assert ran.status == 0, ran.err
    assert ran.json()["tasks"] == list(tasks)
    assert desk.rpc.block_number() == before + 1
    assert {desk.market.task(bytes.fromhex(task[2:])).state for task in tasks} == {TaskState.OPEN}
    again = desk.run("relay", files[0], "--wallet", "carol", "--yes")
    assert (again.status, "RELAY-002" in again.err) == (2, True)


def test_one_signed_request_is_sent_alone(desk, signed):
    file, task = signed(1)
    assert desk.run("relay", file, "--wallet", "carol", "--yes").out == f"Task {task}\n"


def test_a_signed_request_that_was_changed_or_revoked_is_not_sent(desk, signed, poor):
    def refused(said: str, *files: str) -> None:
        before = desk.footprint()
        ran = desk.run("relay", *files, "--wallet", "carol", "--yes")
        assert (ran.status, said in ran.err) == (2, True), ran.err
        assert desk.footprint() == before

    file, task = signed(1)
    content = json.loads(Path(file).read_text())
    forged = Path(file).with_name("forged.json")
    forged.write_text(json.dumps({**content, "request": {**content["request"], "max_fee_units": 1}}))
    refused("does not hash to its id", str(forged))
    forged.write_text(json.dumps({**content, "signature": content["signature"][:-4] + "001b"}))
    refused("BadSignature", str(forged))
    refused("RELAY-001", str(forged.with_name("absent.json")))
    refused("given twice", file, file)
    greedy, _ = signed(2, "--max-fee", "9999999")
    refused("does not cover it", file, greedy)
    bank = Sender(desk.rpc, dev_account(0))
    bank.send_and_wait(Call("fund", poor.address, b"", ETHER_WEI))
    assert desk.run("revoke", task, "--yes").status == 0
    refused("refunded", file)


def test_a_file_is_never_overwritten_by_a_signature(desk, signed):
    file, _ = signed(1)
    before = desk.footprint()
    ran = desk.run("submit", "what is 4", "--yes", "--wallet", "bob", "--sign-to", file)
    assert (ran.status, "it exists" in ran.err) == (2, True)
    assert desk.footprint() == before
