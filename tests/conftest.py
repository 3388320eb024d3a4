"""One real Hardhat node for the whole session; a test that takes `devnet` leaves the chain as it found it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from chain import devnet as devnets
from chain.devnet import Devnet
from chain.market import Market
from chain.rpc import Rpc
from tests.patience import PATIENCE_SECS

# Property tests share two cores with engines and nodes: a slow example is no failure.
settings.register_profile(
    "quern", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quern")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test first: of several processes none waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")


@pytest.fixture(scope="session")
def session_devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Mines each transaction at once, so that tests need not wait for blocks."""
    home = tmp_path_factory.mktemp("session")
    try:
        yield devnets.up(home, block_millis=None, die_with_parent=True)
    finally:
        devnets.down(home)


@pytest.fixture
def devnet(session_devnet: Devnet) -> Iterator[Devnet]:
    """The session's node, put back by snapshot and revert: blocks, balances, clock and mining alike."""
    rpc = Rpc(session_devnet.rpc_url, PATIENCE_SECS)
    snapshot = rpc.call("evm_snapshot")
    try:
        yield session_devnet
    finally:
        rpc.call("evm_setIntervalMining", 0)
        rpc.call("evm_setAutomine", True)
        assert rpc.call("evm_revert", snapshot) is True


@pytest.fixture
def rpc(devnet: Devnet) -> Rpc:
    return Rpc(devnet.rpc_url, PATIENCE_SECS)


@pytest.fixture
def market(devnet: Devnet, rpc: Rpc) -> Market:
    return Market(rpc, devnet.deployment)
