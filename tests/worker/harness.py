"""A market on the real node with a requester, a content store and workers on the fake engine."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from auditor.case import History
from chain import deployment as deployments
from chain.devnet import Devnet, dev_account
from chain.market import Market
from chain.process import start_ticks
from chain.rpc import Rpc
from chain.sender import Sender
from chain.store import ContentStore, input_key, output_key, params_key, receipt_key
from protocol.batchfile import Message, OutputFile, Prompt, read_output, write_input
from protocol.digest import sha256
from protocol.equivalence import EquivalenceClass, class_key
from protocol.lifecycle import Event, TaskState
from protocol.manifest import build_manifest, model_id
from protocol.money import escrow_units
from protocol.params import GenerationParams
from protocol.receipt import ReceiptDocument
from protocol.request import Request, task_id
from tests.checkout import ROOT
from tests.patience import PATIENCE_SECS
from worker import keystore, steps
from worker.app import Worker
from worker.artefacts import Call
from worker.config import Batches, Chain, Engine, Keys, Model, Operations, Price, Store, WorkerConfig, load
from worker.errors import UnknownTask
from worker.report import why
from worker.steps import Moment, Step
from worker.template import render

MODEL_DIR = ROOT / "models" / "quern-demo"
MODEL_ID = model_id(build_manifest(MODEL_DIR))
PASSWORD = "grind slowly"
REQUESTER, OPERATOR = dev_account(1), dev_account(2)
DEPOSIT_UNITS = 10**9
PARAMS = GenerationParams(max_tokens=16)


@dataclass(slots=True)
class MarketPlace:
    """Everything a worker meets. `fund` gives the operator `DEPOSIT_UNITS` for bonds."""

    devnet: Devnet
    home: Path
    rpc: Rpc = field(init=False)
    market: Market = field(init=False)
    store: ContentStore = field(init=False)
    requester: Sender = field(init=False)
    _salt: int = 0

    def __post_init__(self) -> None:
        self.rpc = Rpc(self.devnet.rpc_url, PATIENCE_SECS)
        self.market = Market(self.rpc, self.devnet.deployment)
        self.store = ContentStore(str(self.home / "store"))
        self.requester = Sender(self.rpc, REQUESTER)
        deployments.save(self.devnet.deployment, self.home / "deployment.json")
        keystore.create(self.home / "keystore.json", PASSWORD, bytes(OPERATOR.key), light=True)
        self.store.put(params_key(PARAMS.digest()), PARAMS.encoded())
        self.requester.send_and_wait(self.market.deposit(OPERATOR.address, DEPOSIT_UNITS))

    def hire(self, number: int) -> tuple[WorkerConfig, str]:
        """Another operator with money, a key and a store of its own: its settings and address."""
        account, name = dev_account(number), f"operator-{number}"
        path = self.home / f"{name}.json"
        keystore.create(path, PASSWORD, bytes(account.key), light=True)
        self.requester.send_and_wait(self.market.deposit(account.address, DEPOSIT_UNITS))
        config = self.config(name)
        return config.model_copy(update={"keys": Keys(keystore=path)}), account.address

    def config(self, name: str = "worker", **engine: object) -> WorkerConfig:
        """Of a worker with the fake engine and a database of its own."""
        return WorkerConfig(
            state_dir=self.home / name,
            chain=Chain(deployment=self.home / "deployment.json", poll_ms=20),
            store=Store(url=self.store.url),
            keys=Keys(keystore=self.home / "keystore.json"),
            models=(Model(path=MODEL_DIR),),
            engine=Engine(**{"kind": "fake", **engine}),
            batches=Batches(),
            price=Price(),
            operations=Operations(),
        )

    def put_input(self, prompts: Sequence[Prompt]) -> bytes:
        """Store an input; returns its digest."""
        self._salt += 1
        data = write_input(self._salt.to_bytes(32, "big"), prompts)
        self.store.put(input_key(sha256(data)), data)
        return sha256(data)

    def put_class(self, wanted: EquivalenceClass) -> bytes:
        """Store an equivalence class; returns its digest."""
        self.store.put(class_key(wanted.digest()), wanted.encoded())
        return wanted.digest()

    def put_bytes(self, data: bytes) -> bytes:
        """Store anything under its digest."""
        self.store.put(input_key(sha256(data)), data)
        return sha256(data)

    def request(self, prompts: Sequence[Prompt] | None = None, **changes: object) -> Request:
        """A sound request for `prompts`, one short chat by default."""
        prompts = chats(1) if prompts is None else prompts
        digest = self.put_input(prompts) if "input_digest" not in changes else b""
        self._salt += 1
        fields: dict[str, object] = {
            "requester": REQUESTER.address,
            "salt": self._salt.to_bytes(32, "big"),
            "model_id": MODEL_ID,
            "input_digest": digest,
            "params_digest": PARAMS.digest(),
            "max_fee_units": 1_000_000,
            "flat_percent": 10,
            "tip_units": 200_000,
            "max_output_tokens": sum(prompt.max_tokens or PARAMS.max_tokens for prompt in prompts),
            "bond_units": 1,
            "deadline": self.rpc.latest().timestamp + 3_600,
            "lease_secs": 300,
            "input_uri": "",
        }
        fields.update(changes)
        fields["input_uri"] = fields["input_uri"] or input_key(fields["input_digest"])  # type: ignore[arg-type]
        return Request(**fields)  # type: ignore[arg-type]

    def submit(self, *requests: Request) -> list[bytes]:
        """In one transaction; the ids."""
        cost = sum(escrow_units(each.max_fee_units, each.replicas, each.tip_units) for each in requests)
        receipt = self.requester.send_and_wait(self.market.submit_many(requests, value_units=cost))
        assert receipt.success
        return [task_id(self.market.domain, request) for request in requests]

    def states(self, ids: Sequence[bytes]) -> list[TaskState]:
        return [task.state for task in self.market.tasks(ids)]

    def await_states(self, ids: Sequence[bytes], state: TaskState, secs: float = PATIENCE_SECS) -> None:
        """Until every task is in that state. Nobody waits for a challenge window: the chain's clock is put ahead."""

        def reached() -> bool:
            if state is TaskState.SETTLED:
                self.skip_window(ids)
            return set(self.states(ids)) == {state}

        eventually(reached, state.name, secs)

    def skip_window(self, ids: Sequence[bytes]) -> bool:
        """Once all are posted or further, put the chain's clock behind their windows; whether it did."""
        states = set(self.states(ids))
        if TaskState.POSTED not in states or not states <= {TaskState.POSTED, TaskState.SETTLED}:
            return False
        self.rpc.call("evm_increaseTime", self.devnet.deployment.parameters.window_secs + 1)
        if self.rpc.call("hardhat_getAutomine"):
            # Where blocks come by themselves the next has the new time, and Hardhat dies of one asked for beside it.
            self.rpc.call("evm_mine")
        return True

    def output(self, one: bytes) -> OutputFile:
        return read_output(self.store.get(output_key(one), 1 << 20))

    def receipt(self, one: bytes) -> ReceiptDocument:
        document = ReceiptDocument.decode(self.store.get(receipt_key(one), 1 << 20))
        document.check()
        return document

    def events(self) -> tuple[Event, ...]:
        """All of the market's so far."""
        return History.fetch(self.rpc, self.devnet.deployment).events

    def operator_units(self) -> tuple[int, int]:
        """Free and locked."""
        account = self.market.account(OPERATOR.address)
        return account.free_units, account.locked_units


def chats(count: int, words: str = "What is", max_tokens: int | None = None) -> list[Prompt]:
    """Short questions, each another."""
    return [
        Prompt(
            f"q{number}", messages=(Message("user", f"{words} {number} + {number}?"),), max_tokens=max_tokens
        )
        for number in range(count)
    ]


def codes(config: WorkerConfig, one: bytes) -> list[str]:
    """Of everything the worker decided about a task so far."""
    try:
        return [item.reason.code for item in why(config, one)]
    except UnknownTask:
        return []


def eventually(holds: Callable[[], bool], what: str, secs: float = PATIENCE_SECS) -> None:
    """Look until it holds, or fail saying what did not."""
    deadline = time.monotonic() + secs
    while not holds():
        assert time.monotonic() < deadline, f"not within {secs:g} s: {what}"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Point:
    """Where a worker meets SIGKILL: before or after a step, of a call where the step is one of a transaction."""

    moment: Moment
    step: Step
    call: Call | None = None

    def __str__(self) -> str:
        call = f" ({self.call.value})" if self.call is not None else ""
        return f"{self.moment}: {self.step}{call}"


def around(*chosen: Step, call: Call | None = None) -> list[Point]:
    """Both points of each step, in order."""
    return [Point(moment, step, call) for step in chosen for moment in Moment]


def arm(point: Point) -> None:
    """This very process dies there."""

    def reached(moment: Moment, step: Step, call: Call | None) -> None:
        if Point(moment, step, call) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.reached = reached


def work(config_path: Path, point: Point | None) -> None:
    if point is not None:
        arm(point)
    config = load(config_path)
    os.environ[keystore.PASSWORD_VARIABLE] = PASSWORD
    sys.exit(Worker(config, keystore.password_from_environment()).run())


def kill_engine_of(pid: int) -> bool:
    return _signal_engine_of(pid, signal.SIGKILL)


def stop_engine_of(pid: int) -> bool:
    """It says nothing from then on, and does not die of itself."""
    return _signal_engine_of(pid, signal.SIGSTOP)


def _signal_engine_of(pid: int, number: signal.Signals) -> bool:
    """The newest child of that process that serves an engine; other tests' fixtures may keep older ones."""
    own = f"PPid:\t{pid}\n"
    serving = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            serves = folder.name.isdecimal() and b"engine.serve" in (folder / "cmdline").read_bytes()
            if serves and own in (folder / "status").read_text():
                serving.append(int(folder.name))
    if serving:
        os.kill(max(serving, key=lambda each: start_ticks(each) or 0), number)
    return bool(serving)


# Its children start with everything imported, as cheaply as a fork but from a process without threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.worker.harness", "catboost"])


class WorkerProcess:
    """A worker in a process of its own, to be killed: by itself at `kill_at`, or from outside."""

    def __init__(self, config: WorkerConfig, kill_at: Point | None = None) -> None:
        config.state_dir.mkdir(parents=True, exist_ok=True)
        path = config.state_dir / "config.toml"
        path.write_text(render(config), encoding="utf-8")
        self.config = config
        self._process = PROCESSES.Process(target=work, args=(path, kill_at))
        self._process.start()

    @property
    def ended(self) -> bool:
        return self._process.exitcode is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def kill_engine(self) -> bool:
        """Of this worker, whether it had one."""
        return kill_engine_of(self._process.pid or 0)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self, secs: float = PATIENCE_SECS) -> int | None:
        """Exit status, the negative number of the signal that ended it; None if it goes on."""
        self._process.join(secs)
        return self._process.exitcode
