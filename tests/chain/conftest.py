"""Makers of requests and waits shared by the chain's tests."""

import itertools
from collections.abc import Callable

import pytest

from chain.devnet import dev_account
from chain.market import Market
from chain.rpc import Rpc
from chain.sender import Sender
from protocol.request import Request

ASKER, WORKER = dev_account(1), dev_account(2)
_SALTS = itertools.count(1)


@pytest.fixture
def make_request(rpc: Rpc) -> Callable[..., Request]:
    """A request the devnet's market takes, with a salt of its own."""

    def make(**changes: object) -> Request:
        fields: dict[str, object] = {
            "requester": ASKER.address,
            "salt": next(_SALTS).to_bytes(32, "big"),
            "model_id": b"\1" * 32,
            "input_digest": b"\2" * 32,
            "params_digest": b"\3" * 32,
            "max_fee_units": 1_000,
            "flat_percent": 10,
            "tip_units": 5,
            "max_output_tokens": 100,
            "bond_units": 1,
            "deadline": rpc.latest().timestamp + 3_600,
            "lease_secs": 60,
            "input_uri": "inputs/" + "02" * 32,
        }
        return Request(**(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def asker(rpc: Rpc, market: Market) -> Sender:
    """A requester with a million UNITs in the market."""
    sender = Sender(rpc, ASKER)
    sender.send_and_wait(market.deposit(sender.address, 1_000_000))
    return sender


@pytest.fixture
def worker(rpc: Rpc, market: Market) -> Sender:
    """A worker who can bond a hundred leases."""
    sender = Sender(rpc, WORKER)
    sender.send_and_wait(market.deposit(sender.address, 100 * market.deployment.parameters.bond_unit_units))
    return sender


@pytest.fixture
def pass_time(rpc: Rpc) -> Callable[[int], None]:
    """Moves the chain's clock."""

    def move(secs: int) -> None:
        rpc.call("evm_increaseTime", secs)
        rpc.call("evm_mine")

    return move
