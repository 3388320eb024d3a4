"""A market, a requester and a worker's settings for the benchmarks of the worker; and progress on the terminal."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from chain import devnet as devnets
from chain.devnet import Devnet, deployment_file, dev_account
from chain.market import Market
from chain.rpc import Rpc
from chain.sender import Sender
from chain.store import ContentStore, input_key, params_key
from protocol.batchfile import Prompt, write_input
from protocol.digest import sha256
from protocol.manifest import build_manifest, model_id
from protocol.params import GenerationParams
from protocol.request import Request, task_id
from worker import keystore
from worker.config import Chain, Keys, Model, Store, WorkerConfig
from worker.database import Database
from worker.template import render

ROOT = Path(__file__).resolve().parents[2]
MODEL_DIR = ROOT / "models" / "quern-demo"
PASSWORD = "bench"
_DEPOSIT_UNITS = 2_000 * 10**9
_SUBMIT_TASKS = 150
_SUBMIT_GAS = 15_000_000
_STORE_THREADS = 16
_RUN = """
import sys, time
from pathlib import Path
from worker import config, keystore
from worker.app import Worker
settings = config.load(Path(sys.argv[1]))
began = time.time()
worker = Worker(settings, keystore.password_from_environment())
(settings.state_dir / "began").write_text(f"{began} {time.time()}")
sys.exit(worker.run())
"""
_REQUESTER, _OPERATOR = dev_account(1), dev_account(2)


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh devnet with the operator's money in the market."""

    home: Path
    devnet: Devnet
    market: Market
    store: ContentStore
    model: bytes

    def config(self) -> WorkerConfig:
        """A worker with every setting at its default."""
        return WorkerConfig(
            state_dir=self.home / "worker",
            chain=Chain(deployment=deployment_file(self.home)),
            store=Store(url=self.store.url),
            keys=Keys(keystore=self.home / "keystore.json"),
            models=(Model(path=MODEL_DIR),),
        )

    def submit(
        self, inputs: Sequence[Sequence[Prompt]], params: GenerationParams, tip_units: int
    ) -> list[bytes]:
        """One task for each input, in as few transactions as they fit; the ids."""
        self.store.put(params_key(params.digest()), params.encoded())
        with ThreadPoolExecutor(_STORE_THREADS) as pool:
            digests = list(pool.map(self._put, range(len(inputs)), inputs))
        deadline = self.market.rpc.latest().timestamp + 7_200
        requests = [
            Request(
                requester=_REQUESTER.address,
                salt=number.to_bytes(32, "big"),
                model_id=self.model,
                input_digest=digest,
                params_digest=params.digest(),
                max_fee_units=1_000_000,
                flat_percent=10,
                tip_units=tip_units,
                max_output_tokens=sum(prompt.max_tokens or params.max_tokens for prompt in prompts),
                bond_units=1,
                deadline=deadline,
                lease_secs=3_600,
                input_uri=input_key(digest),
            )
            for number, (digest, prompts) in enumerate(zip(digests, inputs, strict=True))
        ]
        sender = Sender(self.market.rpc, _REQUESTER)
        calls = []
        for start in range(0, len(requests), _SUBMIT_TASKS):
            part = requests[start : start + _SUBMIT_TASKS]
            value_units = sum(request.max_fee_units + request.tip_units for request in part)
            calls.append(self.market.submit_many(part, value_units))
        sender.send_many(calls, gas_limit=_SUBMIT_GAS)
        return [task_id(self.market.domain, request) for request in requests]

    def _put(self, number: int, prompts: Sequence[Prompt]) -> bytes:
        data = write_input(number.to_bytes(32, "big"), prompts)
        self.store.put(input_key(sha256(data)), data)
        return sha256(data)


def open_place(home: Path, block_millis: int | None) -> Place:
    """Starts a devnet of the "bench" preset that ends with this process."""
    devnet = devnets.up(home, preset="bench", block_millis=block_millis, die_with_parent=True)
    rpc = Rpc(devnet.rpc_url)
    market = Market(rpc, devnet.deployment)
    keystore.create(home / "keystore.json", PASSWORD, bytes(_OPERATOR.key), light=True)
    Sender(rpc, _REQUESTER).send_and_wait(market.deposit(_OPERATOR.address, _DEPOSIT_UNITS))
    return Place(home, devnet, market, ContentStore(str(home / "store")), model_id(build_manifest(MODEL_DIR)))


def start_worker(config: WorkerConfig) -> "subprocess.Popen[bytes]":
    """A worker in a process of its own. It leaves two unix times in `began`: when its imports were done, and when it
    was put together.
    """
    config.state_dir.mkdir(parents=True)
    path = config.state_dir / "config.toml"
    path.write_text(render(config), encoding="utf-8")
    environment = {**os.environ, keystore.PASSWORD_VARIABLE: PASSWORD}
    return subprocess.Popen([sys.executable, "-P", "-c", _RUN, str(path)], env=environment)


def await_settled(
    config: WorkerConfig, tasks: int, child: "subprocess.Popen[bytes]", timeout_secs: float
) -> float:
    """Unix time at which the worker's database had all tasks settled."""
    give_up = time.monotonic() + timeout_secs
    shown_at = 0.0
    while time.monotonic() < give_up:
        if child.poll() is not None:
            raise SystemExit(
                f"the worker ended with status {child.returncode}; see {config.state_dir}/worker.log"
            )
        database = Database(config.database, read_only=True)
        try:
            settled = database.counts()["settled"]
        finally:
            database.close()
        if settled >= tasks:
            return time.time()
        if time.monotonic() - shown_at > 2:
            shown_at = time.monotonic()
            say(f"{settled} of {tasks} settled")
        time.sleep(0.02)
    raise SystemExit(f"not settled within {timeout_secs:g} s; see {config.state_dir}/worker.log")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
