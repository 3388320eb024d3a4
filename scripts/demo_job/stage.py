"""What the demo starts, and what it stops again: a devnet, a worker process, and a folder for their state."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eth_account.signers.local import LocalAccount

from chain import devnet as devnets
from chain.call import Call
from chain.process import die_with_parent
from chain.rpc import Rpc
from chain.store import ContentStore
from protocol.domain import ETHER_UNITS, UNIT_WEI
from quern.context import Home
from scripts.demo_job.console import say
from wallet import models
from wallet.desk import Desk
from wallet.keystore import Keystore
from wallet.models import ModelList, Registered
from worker import config as worker_config
from worker import setup
from worker.config import WorkerConfig
from worker.lock import running_pid

ROOT = Path(__file__).resolve().parents[2]
DEMO_MODEL = ROOT / "models" / "quern-demo"
WORKER_DEPOSIT_UNITS = ETHER_UNITS // 10
_WORKER_START_SECS = 60.0
_WORKER_STOP_SECS = 90.0
_POLL_SECS = 0.1


class DemoFailed(Exception):
    """The demo cannot go on; the message says where to look."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that is up before the first task."""

    home: Home
    desk: Desk
    store: ContentStore
    model: Registered
    worker: WorkerConfig
    worker_process: "subprocess.Popen[bytes]"
    worker_log: Path


def fresh_home(folder: Path) -> Home:
    """An empty folder for this run; a devnet left there by an earlier `--stay` is stopped first."""
    home = Home(folder)
    if folder.exists():
        stop_worker(home)
        devnets.down(folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return home


def start_devnet(home: Home, *, stay: bool) -> Desk:
    """The Hardhat node with the contracts compiled and deployed."""
    devnet = devnets.up(home.folder, die_with_parent=not stay)
    say(f"devnet at {devnet.rpc_url} (process {devnet.pid}), market {devnet.deployment.market}")
    return Desk(Rpc(devnet.rpc_url), devnet.deployment)


def fund(desk: Desk, address: str, units: int) -> None:
    """Devnet ether for an account of the demo."""
    desk.send(Call("fund", address, b"", units * UNIT_WEI), devnets.dev_account(0))


def add_model(home: Home, desk: Desk, store: ContentStore) -> Registered:
    """What `quern model add models/quern-demo --announce` does."""
    model = models.add(str(DEMO_MODEL), None, ModelList(home.models), store)
    desk.announce(model, devnets.dev_account(0))
    say(f"model {model.name} is 0x{model.model_id.hex()}, announced")
    return model


def set_up_worker(home: Home, desk: Desk, store: ContentStore) -> WorkerConfig:
    """An encrypted keystore, a configuration, ether for gas and a deposit for bonds."""
    password_file = write_password(home.folder / "worker.password")
    made = setup.init(
        home.worker,
        deployment=home.deployment,
        store_url=store.url,
        models=[DEMO_MODEL],
        password=password_file.read_text(),
    )
    fund(desk, made.address, ETHER_UNITS)
    desk.send(desk.market.deposit(made.address, WORKER_DEPOSIT_UNITS), devnets.dev_account(0))
    say(f"worker key {made.address} in {shown(made.keystore)}, encrypted")
    return worker_config.load(made.config_path)


def start_worker(home: Home, config: WorkerConfig, *, stay: bool) -> "tuple[subprocess.Popen[bytes], Path]":
    """`quern worker run` as a process of its own; returns once it follows the chain."""
    log = home.folder / "worker.log"
    environment = {
        **os.environ,
        "QUERN_HOME": str(home.folder),
        "QUERN_KEYSTORE_PASSWORD_FILE": str(home.folder / "worker.password"),
        # One task in a claim, so that the order of claims can be read from the blocks.
        "QUERN_WORKER_BATCHES__TASKS": "1",
    }
    command = [
        str(Path(sys.executable).with_name("quern")),
        "worker",
        "run",
        "--config",
        str(home.worker / "config.toml"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=None if stay else die_with_parent,  # noqa: PLW1509 this process has one thread
        )  # fmt: skip
    deadline = time.monotonic() + _WORKER_START_SECS
    while running_pid(config.state_dir) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise DemoFailed(f"the worker did not start; its log is {log}:\n{tail(log)}")
        time.sleep(_POLL_SECS)
    say(f"worker runs as process {process.pid}; it starts vLLM when it has a task (log: {shown(log)})")
    return process, log


def stop(stage_home: Home, process: "subprocess.Popen[bytes] | None") -> None:
    """Ends worker and devnet; the worker is asked first, then told, then killed."""
    if process is not None and process.poll() is None:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_WORKER_STOP_SECS if number == signal.SIGKILL else 3.0)
                break
    devnets.down(stage_home.folder)


def stop_worker(home: Home) -> None:
    """Stops the worker that an earlier `--stay` left, if it still runs."""
    config_file = home.worker / "config.toml"
    if not config_file.exists():
        return
    state_dir = worker_config.load(config_file).state_dir
    pid = running_pid(state_dir)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _WORKER_STOP_SECS
    while running_pid(state_dir) is not None and time.monotonic() < deadline:
        time.sleep(_POLL_SECS)


def make_wallet(home: Home, desk: Desk, name: str) -> LocalAccount:
    """An encrypted wallet with one ether."""
    password_file = home.folder / "wallets.password"
    if not password_file.exists():
        write_password(password_file)
    password = password_file.read_text()
    keystore = Keystore(home.wallets)
    wallet = keystore.new(name, password)
    fund(desk, wallet.address, ETHER_UNITS)
    return keystore.unlock(name, password)


def write_password(path: Path) -> Path:
    """A random password that only this user can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(16))
    return path


def shown(path: Path) -> str:
    """Relative to where the user stands, if that is shorter."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
