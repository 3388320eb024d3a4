"""The local Ethereum devnet: one Hardhat node in a process group of its own, with the market deployed."""

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain import deployment as deployments
from chain import process
from chain.deployer import PanelTerms, deploy
from chain.deployment import Deployment
from chain.node import HARDHAT_DIR, hardhat_cli, node_binary
from chain.presets import PANEL_SECS, PRESETS
from chain.rpc import Rpc, RpcUnavailable
from protocol.digest import JsonValue, canonical_json, parse_json
from protocol.errors import BadInput, NotYet, QuernError

CHAIN_ID = 31_337
DEFAULT_BLOCK_MILLIS = 250
DEV_ACCOUNTS = 20
# Accounts that sit on the devnet's panel of arbiters, the last ones: people and tests begin with the first.
PANEL_ACCOUNTS = (17, 18, 19)
PANEL_THRESHOLD = 2
_MNEMONIC = "test test test test test test test test test test test junk"
_START_SECS = 60.0
_STOP_SECS = 5.0
_MAX_STATE_BYTES = 4_096


class UnknownPreset(BadInput):
    """No parameters of that name."""

    def __init__(self, preset: str) -> None:
        super().__init__("DEVNET-002", "preset", preset, f"give one of {', '.join(sorted(PRESETS))}")


class PortTaken(BadInput):
    """Somebody listens on that port, or it is none."""

    def __init__(self, port: int) -> None:
        super().__init__("DEVNET-003", "port", port, "give a free port, or none to have one chosen")


class DevnetFailed(NotYet):
    """The node did not come up; the log's last line says why."""

    def __init__(self, log: Path, reason: str) -> None:
        super().__init__("DEVNET-004", "devnet", reason, f"read {log}, then run `quern devnet up` again")


class DevnetBusy(NotYet):
    """Another process is starting or stopping this very devnet."""

    def __init__(self, home: Path) -> None:
        super().__init__("DEVNET-005", "devnet", str(home), "wait for the other `quern devnet` to end")


@dataclass(frozen=True, slots=True)
class Devnet:
    """A running devnet."""

    pid: int
    deployment: Deployment

    @property
    def rpc_url(self) -> str:
        return self.deployment.rpc_url


@dataclass(frozen=True, slots=True)
class DevnetStatus:
    """`problem` is "" when node and deployment are sound; otherwise one line that says what is wrong."""

    running: bool
    pid: int | None
    rpc_url: str | None
    block_number: int | None
    deployment: Deployment | None
    problem: str


@dataclass(frozen=True, slots=True)
class _NodeState:
    """`started`, in clock ticks since boot, and the pid together name one process for ever."""

    pid: int
    started: int
    rpc_url: str


def deployment_file(home: Path) -> Path:
    """Where `up` leaves the deployment; `home` is the runtime directory (`.quern`)."""
    return home / "devnet" / "deployment.json"


@lru_cache(maxsize=DEV_ACCOUNTS)
def dev_account(index: int) -> LocalAccount:
    """Hardhat's publicly known account: 10,000 ether on the devnet, worthless and unsafe elsewhere."""
    Account.enable_unaudited_hdwallet_features()
    account: LocalAccount = Account.from_mnemonic(_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return account


def up(
    home: Path,
    port: int | None = None,
    preset: str = "devnet",
    *,
    block_millis: int | None = DEFAULT_BLOCK_MILLIS,
    die_with_parent: bool = False,
) -> Devnet:
    """Starts the node, deploys, writes the deployment file; a sound devnet already there is left as it is.

    `block_millis` is the interval between blocks; None mines each transaction at once, which hides latency
    and faults of order. With `die_with_parent` the node ends when the calling thread does.

    Raises UnknownPreset, PortTaken, DevnetFailed, DevnetBusy, MissingTool, DoesNotCompile.
    """
    if preset not in PRESETS:
        raise UnknownPreset(preset)
    with _exclusive(home):
        found = status(home)
        if found.running and found.pid is not None and found.deployment is not None and not found.problem:
            return Devnet(found.pid, found.deployment)
        _stop(home)
        node = _start(home, port, die_with_parent=die_with_parent)
        try:
            deployment = _deploy(Rpc(node.rpc_url), preset, block_millis)
            deployments.save(deployment, deployment_file(home))
        except BaseException:
            _stop(home)
            raise
        return Devnet(node.pid, deployment)


def down(home: Path) -> bool:
    """Stops the node and removes its files. False if none was running. Raises DevnetBusy."""
    with _exclusive(home):
        return _stop(home)


def status(home: Path) -> DevnetStatus:
    """What is there, judged by the process and by what the node answers."""
    node = _load_state(home)
    running = node is not None and process.is_alive(node.pid, node.started)
    try:
        deployment = deployments.load(deployment_file(home))
    except QuernError as error:
        if node is None or not running:
            return DevnetStatus(False, None, None, None, None, "no devnet runs here")
        return DevnetStatus(True, node.pid, node.rpc_url, None, None, str(error))
    pid = node.pid if node is not None and running else None
    try:
        rpc = Rpc(deployment.rpc_url, timeout_secs=5.0)
        deployments.check(deployment, rpc)
        block_number = rpc.block_number()
    except QuernError as error:
        return DevnetStatus(running, pid, deployment.rpc_url, None, deployment, str(error))
    problem = (
        "" if running else f"{deployment.rpc_url} is served by a process that `quern devnet` did not start"
    )
    return DevnetStatus(running, pid, deployment.rpc_url, block_number, deployment, problem)


def _start(home: Path, port: int | None, *, die_with_parent: bool) -> _NodeState:
    port = _free_port() if port is None else _checked_port(port)
    log = home / "devnet" / "node.log"
    command = [str(node_binary()), str(hardhat_cli()), "node", "--hostname", "127.0.0.1", "--port", str(port)]
    # Hardhat would ask about telemetry on a terminal.
    environment = {**os.environ, "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=HARDHAT_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Between fork and exec it makes one system call and takes no lock.
            preexec_fn=process.die_with_parent if die_with_parent else None,  # noqa: PLW1509
        )
    node = _NodeState(child.pid, process.start_ticks(child.pid) or 0, f"http://127.0.0.1:{port}")
    _save_state(home, node)
    try:
        _await_answer(child, node.rpc_url, log)
    except BaseException:
        _stop(home)
        raise
    return node


def _await_answer(child: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    rpc = Rpc(url, timeout_secs=5.0)
    deadline = time.monotonic() + _START_SECS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"]
            raise DevnetFailed(log, f"the node ended with status {child.returncode}: {lines[-1]}")
        try:
            if rpc.chain_id() == CHAIN_ID:
                return
        except RpcUnavailable:
            time.sleep(0.05)
    raise DevnetFailed(log, f"no answer within {_START_SECS:.0f} s")


def _deploy(rpc: Rpc, preset: str, block_millis: int | None) -> Deployment:
    # Hardhat's node switches its log on whatever the configuration says, and it grows with every call.
    rpc.call("hardhat_setLoggingEnabled", False)
    rpc.call("evm_setIntervalMining", 0)
    rpc.call("evm_setAutomine", True)
    members = tuple(dev_account(index).address for index in PANEL_ACCOUNTS)
    panel = PanelTerms(members, PANEL_THRESHOLD, *PANEL_SECS[preset])
    deployment = deploy(rpc, dev_account(0), PRESETS[preset], panel)
    # The node takes its clock before it is ready, which on a busy machine is seconds later.
    behind_secs = int(time.time()) - rpc.latest().timestamp
    if behind_secs > 1:
        rpc.call("evm_increaseTime", behind_secs - 1)
    if block_millis is not None:
        rpc.call("evm_setAutomine", False)
        rpc.call("evm_setIntervalMining", block_millis)
    return deployment


def _stop(home: Path) -> bool:
    node = _load_state(home)
    stopped = node is not None and process.is_alive(node.pid, node.started)
    if node is not None and stopped:
        process.stop_group(node.pid, node.started, _STOP_SECS)
    _state_file(home).unlink(missing_ok=True)
    deployment_file(home).unlink(missing_ok=True)
    return stopped


def _state_file(home: Path) -> Path:
    return home / "devnet" / "node.json"


def _save_state(home: Path, node: _NodeState) -> None:
    value: JsonValue = {"pid": node.pid, "started": node.started, "rpc_url": node.rpc_url}
    _state_file(home).write_bytes(canonical_json(value) + b"\n")


def _load_state(home: Path) -> _NodeState | None:
    try:
        data = _state_file(home).read_bytes()
        match parse_json("devnet state", data, max_bytes=_MAX_STATE_BYTES):
            case {"pid": int(pid), "started": int(started), "rpc_url": str(rpc_url)}:
                return _NodeState(pid, started, rpc_url)
    except (OSError, BadInput):
        pass
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _checked_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise PortTaken(port) from error
    return port


@contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    folder = home / "devnet"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DevnetBusy(home) from error
        yield
