"""Reading the market piece by piece gives what reading it whole gives, also after a reorganisation."""

from collections.abc import Callable

import pytest

from chain.devnet import dev_account
from chain.sender import Sender
from protocol.digest import sha256
from protocol.request import Request
from wallet.desk import Desk
from wallet.money import money
from wallet.view import MarketReader, UnknownTask


@pytest.fixture
def desk(devnet, rpc) -> Desk:
    return Desk(rpc, devnet.deployment)


@pytest.fixture
def ask(desk: Desk) -> Callable[[str], bytes]:
    """Submits a task of this name and returns its salt."""
    account = dev_account(3)

    def asked(name: str) -> bytes:
        request = Request(
            requester=account.address,
            salt=sha256(name.encode()),
            model_id=bytes(32),
            input_digest=bytes(32),
            params_digest=bytes(32),
            max_fee_units=1_000,
            flat_percent=0,
            tip_units=0,
            max_output_tokens=1,
            bond_units=1,
            deadline=desk.rpc.latest().timestamp + 20_000,  # the last block may be as old as the session
            lease_secs=60,
            input_uri="inputs/x",
        )
        Sender(desk.rpc, account).send_and_wait(desk.market.submit(request, 1_000))
        return request.salt

    return asked


def salts(snapshot) -> set[bytes]:
    return {task.request.salt for task in snapshot.market.tasks.values()}


def test_later_reads_add_only_what_is_new_and_agree_with_a_whole_read(desk, ask):
    reader = MarketReader(desk.rpc, desk.deployment)
    asked = {ask("one")}
    assert salts(reader.read()) == asked
    asked |= {ask("two"), ask("three")}
    snapshot = reader.read()
    assert salts(snapshot) == asked
    assert snapshot.market == MarketReader(desk.rpc, desk.deployment).read().market
    assert snapshot.market.totals.escrow_units == 3_000


def test_a_read_after_a_reorganisation_forgets_what_the_chain_forgot(desk, ask):
    reader = MarketReader(desk.rpc, desk.deployment)
    kept = ask("kept")
    fork = desk.rpc.call("evm_snapshot")
    lost = ask("lost")
    assert salts(reader.read()) == {kept, lost}
    desk.rpc.call("evm_revert", fork)
    instead = ask("instead")
    desk.rpc.call("evm_mine")
    assert salts(reader.read()) == {kept, instead}


def test_a_task_the_market_never_saw_is_named(desk):
    with pytest.raises(UnknownTask, match="0xabab"):
        desk.read().task(b"\xab" * 32)


def test_the_money_of_an_address_adds_up(desk, ask):
    ask("one")
    account = dev_account(3)
    Sender(desk.rpc, account).send_and_wait(desk.market.deposit(account.address, 500))
    found = money(desk, account.address)
    assert (found.free_units, found.locked_units, found.escrow_units) == (500, 0, 1_000)
    assert [(wait.role, wait.units, wait.until > 0) for wait in found.waits] == [("escrow", 1_000, True)]
