"""One real Hardhat node for the whole session; a test that takes `devnet` leaves the chain as it found it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

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

_LONGEST = ("test_soak", "test_demo", "test_kills", "test_compatibility", "test_vllm", "test_retraining")
_ENGINES_SHARED = ("tests/engine/", "tests/auditor/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: of several processes none waits for another at the end."""
    first = {f"{name}.py": place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: first.get(item.path.name, len(first)))


def _kept_together(nodeid: str) -> str:
    """A file's tests stay in one process; so do all of a folder whose engines last for the session."""
    file = nodeid.split("::", 1)[0]
    return next((folder for folder in _ENGINES_SHARED if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    if config.getoption("dist") != "loadfile":
        return None
    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = _kept_together
    return scheduler


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
