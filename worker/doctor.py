"""`worker doctor`: everything a worker needs, one line each, with the fix."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chain import deployment as deployments
from chain.deployment import Deployment
from chain.market import Market
from chain.rpc import Rpc
from chain.store import ContentMissing, ContentStore, manifest_key
from engine.base import EngineError
from engine.environment import process_environment
from metainf import Selector
from protocol.digest import to_hex
from protocol.errors import QuernError
from protocol.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    ModelMismatch,
    build_manifest,
    model_id,
    verify_dir,
)
from worker import keystore
from worker.champion import ROOT, Champion, is_retrained
from worker.config import WorkerConfig
from worker.database import Database, identity_of
from worker.lock import running_pid
from worker.machine import Machine
from worker.models import serve

_LEAST_DISK_BYTES = 1 << 30
_LEAST_GAS_WEI = 10**16
_MOST_SKEW_SECS = 30
_IMPORT_SECS = 120
_IMPORT = "from engine.quirks import hide_broken_modules as f; f(); import vllm; print(vllm.__version__)"
# Of pyproject.toml: which vLLM a device needs.
_EXTRAS = {"cpu": "quern's extra 'cpu'", "cuda": "quern's extra 'gpu'"}
_PROBE_KEY = "doctor/probe"
_PROBE = b"a worker may write here\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is well, what was found, and what to do if it is not.

    `waits_for` names the check that must be well before this one says anything; empty where it was carried out.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""
    waits_for: str = ""


class _Ill(Exception):
    """A check's finding: what is wrong, and the fix."""

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix


def check(
    config: WorkerConfig, password: str | None, registered: Mapping[Path, bytes] | None = None
) -> tuple[Check, ...]:
    """Every check that the others' findings leave any sense in. Without a password the keystore is not opened.

    `registered` are the ids under which model directories were added on this machine.
    """
    checks: dict[str, Check] = {}
    for name, needed, probe in _probes(config, password, registered or {}):
        need = checks.get(needed)
        if need is None or need.ok:
            checks[name] = _carried_out(name, probe)
        else:
            root = need.waits_for or needed
            checks[name] = Check(
                name, ok=False, detail="not checked", fix=f"see to {root} first", waits_for=root
            )
    return tuple(checks.values())


def _carried_out(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=probe())
    except _Ill as ill:
        return Check(name, ok=False, detail=ill.detail, fix=ill.fix)
    except QuernError as error:
        return Check(name, ok=False, detail=f"{error.code} {error.field} {error.value}", fix=error.fix)
    except (EngineError, OSError, ValueError, subprocess.SubprocessError) as error:
        return Check(name, ok=False, detail=str(error), fix="see the message")


def _probes(
    config: WorkerConfig, password: str | None, registered: Mapping[Path, bytes]
) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """Name, the check that must be well before, and how to carry it out."""
    yield "deployment file", "", lambda: str(deployments.load(config.chain.deployment).market)
    yield "RPC", "deployment file", lambda: _rpc(config)
    yield "chain and code", "RPC", lambda: _chain(config)
    yield "clock", "RPC", lambda: _clock(config)
    yield "keystore", "", lambda: _keystore(config, password)
    yield "balance for gas", "RPC", lambda: _gas(config)
    yield "balance for bonds", "chain and code", lambda: _bonds(config)
    yield "database", "deployment file", lambda: _database(config)
    yield "device", "", lambda: _device(config)
    yield "engine", "", lambda: _engine(config)
    yield "vLLM import", "engine", lambda: _imports(config)
    yield "models", "", lambda: _models(config)
    yield "store", "", lambda: _store(config)
    yield "model files", "store", lambda: _model_files(config, registered)
    yield "meta-model", "", lambda: _meta_model(config)
    yield "disk", "", lambda: _disk(config.state_dir)
    yield "process", "", lambda: _process(config)


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
    least, show = deployment.parameters.bond_unit_units, deployment.currency.show
    if account.free_units < least:
        detail = f"{show(account.free_units)} free, one bond is {show(least)}"
        raise _Ill(detail, f"run `quern money deposit AMOUNT --for {address}`")
    return f"{show(account.free_units)} free, enough for {account.free_units // least} bonds"


def _database(config: WorkerConfig) -> str:
    """A new devnet is another chain, though everything else about it may be the same."""
    if not config.database.exists():
        return "none yet: the first run makes it"
    database = Database(config.database, read_only=True)
    try:
        deployment = deployments.load(config.chain.deployment)
        database.require(identity_of(deployment, keystore.address_of(config.keys.keystore)))
    finally:
        database.close()
    return f"{config.database} belongs to this chain, market and key"


def _device(config: WorkerConfig) -> str:
    cores = os.cpu_count() or 1
    if config.engine.threads > cores:
        raise _Ill(
            f"engine.threads is {config.engine.threads}, there are {cores} cores",
            f"set [engine] threads to {cores} at most",
        )
    machine = Machine(config)
    names = ", ".join(gpu.name for gpu in machine.gpus)
    return f"{names or machine.device}, {cores} cores, {config.engine.threads} of them for the engine"


def _imports(config: WorkerConfig) -> str:
    """In a process of its own, as the engine does it: what is installed may still not start."""
    if config.engine.kind == "fake":
        return "not needed by the fake engine"
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT],
        env=process_environment({}),
        capture_output=True,
        text=True,
        timeout=_IMPORT_SECS,
        check=False,
    )
    if done.returncode:
        raise _Ill(
            (done.stderr.strip().splitlines() or ["it died"])[-1],
            "install the versions in constraints.txt again",
        )
    return f"vLLM {done.stdout.split()[-1]} imports"


def _engine(config: WorkerConfig) -> str:
    if config.engine.kind == "fake":
        return "fake: for tests of the chain side; its receipts say that nothing was computed"
    if importlib.util.find_spec("vllm") is None:
        raise _Ill("vLLM is not installed", f"install {_EXTRAS['cpu']}, or for a GPU {_EXTRAS['cuda']}")
    machine = Machine(config)
    found = machine.strategies()
    if not found:
        raise _Ill(
            f"no strategy for {machine.device} and vLLM {machine.vllm_version}",
            f"install the vLLM of {_EXTRAS[machine.device]}",
        )
    unknown = set(config.engine.strategies) - {strategy.name for strategy in found}
    if unknown:
        raise _Ill(f"strategies {', '.join(sorted(unknown))} are unknown", "run `quern metainf strategies`")
    devices = config.engine.devices
    spread = f", a model on {devices} devices" if devices > 1 else ""
    return f"vLLM {machine.vllm_version} on {machine.device}, {len(found)} strategies{spread}"


def _models(config: WorkerConfig) -> str:
    served = serve([model.path for model in config.models])
    Machine(config).check_sharing(served.values())
    return ", ".join(
        f"{model.path.name} {to_hex(model.id)} window {model.window}" for model in served.values()
    )


def _model_files(config: WorkerConfig, registered: Mapping[Path, bytes]) -> str:
    """Every byte, against what was added: a changed file makes another model, which nobody asks for."""
    store = ContentStore(config.store.url, read_only=True)
    files = 0
    for path in (model.path for model in config.models):
        add = f"`quern model add {path} --announce`"
        wanted = registered.get(path.resolve()) or model_id(build_manifest(path))
        try:
            stored = store.get_checked(manifest_key(wanted), wanted, MAX_MANIFEST_BYTES)
            variant = verify_dir(manifest := Manifest.decode(stored), path)
        except ContentMissing as error:
            raise _Ill(f"{path}: its manifest is not in the store", f"run {add}") from error
        except ModelMismatch as error:
            fix = f"restore the file, or take the directory in as another model: {add}"
            raise _Ill(f"{path}: {error.field}: {error.value}", fix) from error
        files += len(manifest.files) + len(variant.files)
    return f"{files} files have the digests of the manifests in the store"


def _meta_model(config: WorkerConfig) -> str:
    champion = Champion(config)
    current = champion.load()
    digest = Selector(current).meta_model_digest
    latest = champion.latest()
    made = f", retrained here from {current.provenance[ROOT]}" if is_retrained(current) else ""
    return f"{digest}{made}" + (f"; {latest.reason}" if latest is not None else "")


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
