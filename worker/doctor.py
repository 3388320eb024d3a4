"""`worker doctor`: everything a worker needs, one line each, with the fix."""

import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chain import deployment as deployments
from chain.deployment import Deployment
from chain.market import Market
from chain.rpc import Rpc
from chain.store import ContentStore
from engine.base import EngineError
from metainf import Selector
from protocol.digest import to_hex
from protocol.domain import UNIT_WEI
from protocol.errors import QuernError
from worker import keystore
from worker.app import DEVICE, strategies, vllm_version
from worker.config import WorkerConfig
from worker.lock import running_pid
from worker.models import serve

_LEAST_DISK_BYTES = 1 << 30
_LEAST_GAS_WEI = 10**16
_MOST_SKEW_SECS = 30
_PROBE_KEY = "doctor/probe"
_PROBE = b"a worker may write here\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is well, what was found, and what to do if it is not."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class _Ill(Exception):
    """A check's finding: what is wrong, and the fix."""

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix


def check(config: WorkerConfig, password: str | None) -> tuple[Check, ...]:
    """Every check, whatever the others find. Without a password the keystore is not opened."""
    return tuple(_carried_out(name, probe) for name, probe in _probes(config, password))


def _carried_out(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=probe())
    except _Ill as ill:
        return Check(name, ok=False, detail=ill.detail, fix=ill.fix)
    except QuernError as error:
        return Check(name, ok=False, detail=f"{error.code} {error.field} {error.value}", fix=error.fix)
    except (EngineError, OSError, ValueError) as error:
        return Check(name, ok=False, detail=str(error), fix="see the message")


def _probes(config: WorkerConfig, password: str | None) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "deployment file", lambda: str(deployments.load(config.chain.deployment).market)
    yield "RPC", lambda: _rpc(config)
    yield "chain and code", lambda: _chain(config)
    yield "clock", lambda: _clock(config)
    yield "keystore", lambda: _keystore(config, password)
    yield "balance for gas", lambda: _gas(config)
    yield "balance for bonds", lambda: _bonds(config)
    yield "engine", lambda: _engine(config)
    yield "models", lambda: _models(config)
    yield "meta-model", lambda: _meta_model(config)
    yield "store", lambda: _store(config)
    yield "disk", lambda: _disk(config.state_dir)
    yield "process", lambda: _process(config)


def _connected(config: WorkerConfig) -> tuple[Rpc, Deployment]:
    deployment = deployments.load(config.chain.deployment)
    return Rpc(config.chain.rpc_url or deployment.rpc_url, config.chain.timeout_secs), deployment


def _rpc(config: WorkerConfig) -> str:
    rpc, _ = _connected(config)
    return f"{rpc.masked_url} at block {rpc.block_number()}"


def _chain(config: WorkerConfig) -> str:
    rpc, deployment = _connected(config)
    deployments.check(deployment, rpc)
    return f"chain {deployment.chain_id}, market code {to_hex(deployment.market_code_hash)}"


def _clock(config: WorkerConfig) -> str:
    rpc, _ = _connected(config)
    skew = rpc.latest().timestamp - time.time()
    if skew > _MOST_SKEW_SECS:
        raise _Ill(f"the latest block is {skew:.0f} s ahead of this machine", "set this machine's clock")
    return f"latest block {max(0.0, -skew):.0f} s old"


def _keystore(config: WorkerConfig, password: str | None) -> str:
    address = keystore.address_of(config.keys.keystore)
    if password is None:
        raise _Ill(f"{address}, not opened", "set QUERN_KEYSTORE_PASSWORD_FILE or QUERN_KEYSTORE_PASSWORD")
    return f"{keystore.unlock(config.keys.keystore, password).address} opens"


def _gas(config: WorkerConfig) -> str:
    rpc, _ = _connected(config)
    address = keystore.address_of(config.keys.keystore)
    balance = rpc.balance_wei(address)
    if balance < _LEAST_GAS_WEI:
        raise _Ill(f"{balance / 1e18:g} ether", f"send at least {_LEAST_GAS_WEI / 1e18:g} ether to {address}")
    return f"{balance / 1e18:.4f} ether"


def _bonds(config: WorkerConfig) -> str:
    rpc, deployment = _connected(config)
    address = keystore.address_of(config.keys.keystore)
    account = Market(rpc, deployment).account(address)
    least = deployment.parameters.bond_unit_units
    if account.free_units < least:
        detail = (
            f"{account.free_units * UNIT_WEI / 1e18:g} ether free, one bond is {least * UNIT_WEI / 1e18:g}"
        )
        raise _Ill(detail, f"run `quern money deposit AMOUNT --for {address}`")
    return (
        f"{account.free_units * UNIT_WEI / 1e18:g} ether free, enough for {account.free_units // least} bonds"
    )


def _engine(config: WorkerConfig) -> str:
    if config.engine.kind == "fake":
        return "fake: for tests of the chain side; its receipts say that nothing was computed"
    if importlib.util.find_spec("vllm") is None:
        raise _Ill(
            "vLLM is not installed",
            "pip install 'quern[cpu]'",
        )
    found = strategies(config)
    if not found:
        raise _Ill(
            f"no strategy for {DEVICE} and vLLM {vllm_version(config)}",
            "install the vLLM the README names",
        )
    unknown = set(config.engine.strategies) - {strategy.name for strategy in found}
    if unknown:
        raise _Ill(f"strategies {', '.join(sorted(unknown))} are unknown", "run `quern metainf strategies`")
    return f"vLLM {vllm_version(config)} on {DEVICE}, {len(found)} strategies"


def _models(config: WorkerConfig) -> str:
    served = serve([model.path for model in config.models])
    return ", ".join(
        f"{model.path.name} {to_hex(model.id)} window {model.window}" for model in served.values()
    )


def _meta_model(config: WorkerConfig) -> str:
    return Selector.load(config.engine.meta_model).meta_model_digest


def _store(config: WorkerConfig) -> str:
    store = ContentStore(config.store.url)
    store.put(_PROBE_KEY, _PROBE)
    if store.get(_PROBE_KEY, len(_PROBE)) != _PROBE:
        raise _Ill(f"{config.store.url} does not give back what was written", "use another store")
    return f"{config.store.url} reads and writes"


def _disk(state_dir: Path) -> str:
    place = state_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < _LEAST_DISK_BYTES:
        raise _Ill(f"{free >> 20} MiB free at {place}", f"free at least {_LEAST_DISK_BYTES >> 20} MiB")
    return f"{free >> 30} GiB free"


def _process(config: WorkerConfig) -> str:
    pid = running_pid(config.state_dir)
    return "no worker runs with this database" if pid is None else f"running as process {pid}"
