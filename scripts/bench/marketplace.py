"""A market, a requester and a worker's settings for the benchmarks of the worker; and progress on the terminal."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from eth_typing import ChecksumAddress

from chain import devnet as devnets
from chain.call import Call
from chain.devnet import Devnet, deployment_file, dev_account
from chain.market import Market
from chain.rpc import Rpc
from chain.sender import Sender
from chain.store import ContentStore, input_key, params_key
from protocol.batchfile import Prompt, write_input
from protocol.digest import sha256
from protocol.lifecycle import TaskState
from protocol.manifest import build_manifest, model_id
from protocol.params import GenerationParams
from protocol.request import Request, task_id
from worker import keystore
from worker.config import Chain, Keys, Model, Store, WorkerConfig
from worker.template import render

ROOT = Path(__file__).resolve().parents[2]
MODEL_DIR = ROOT / "models" / "quern-demo"
PASSWORD = "bench"
_DEPOSIT_UNITS = 2_000 * 10**9
_SUBMIT_TASKS = 150
_SUBMIT_GAS = 15_000_000
_STORE_THREADS = 16
_UNSERVED_TOGETHER = 3_000
_LOOK_SECS, _SHOW_SECS, _ROWS_SECS = 0.03, 2.0, 600.0
_RUN = """
import json, sys, time
from pathlib import Path
from worker import garbage
with garbage.left_alone():
    from scripts.bench.stages import Stopwatch, note_signings
    from worker import config, keystore
    from worker.app import Worker
    settings = config.load(Path(sys.argv[1]))
    stopwatch = Stopwatch()
    stopwatch.install()
    note_signings(settings.state_dir / "signed.json")
    began = time.time()
    worker = Worker(settings, keystore.password_from_environment())
(settings.state_dir / "began").write_text(f"{began} {time.time()} {time.process_time()}")
status = worker.run()
(settings.state_dir / "stages.json").write_text(json.dumps({**stopwatch.secs(), "all": time.process_time()}))
sys.exit(status)
"""
_REQUESTER, _OPERATOR = dev_account(1), dev_account(2)


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh devnet with the operator's money in the market."""

    home: Path
    devnet: Devnet
    market: Market
    store: ContentStore
    model_dir: Path
    model: bytes

    def config(self) -> WorkerConfig:
        """A worker with every setting at its default."""
        return WorkerConfig(
            state_dir=self.home / "worker",
            chain=Chain(deployment=deployment_file(self.home)),
            store=Store(url=self.store.url),
            keys=Keys(keystore=self.home / "keystore.json"),
            models=(Model(path=self.model_dir),),
        )

    def submit(
        self, inputs: Sequence[Sequence[Prompt]], params: GenerationParams, tip_units: int
    ) -> list[bytes]:
        """One task for each input, in as few transactions as they fit; the ids."""
        requests = self.requests(inputs, params, tip_units)
        self._send(requests)
        return [task_id(self.market.domain, request) for request in requests]

    def submit_unserved(self, count: int) -> None:
        """Tasks of a model that no worker here serves: they are declined, and stay open."""
        deadline = self.market.rpc.latest().timestamp + 7_200
        unserved = Request(
            requester=_REQUESTER.address,
            salt=bytes(32),
            model_id=sha256(b"a model that nobody serves"),
            input_digest=bytes(32),
            params_digest=bytes(32),
            max_fee_units=1_000,
            flat_percent=10,
            tip_units=1_000_000,
            max_output_tokens=100,
            bond_units=1,
            deadline=deadline,
            lease_secs=3_600,
            input_uri="",
        )
        for start in range(0, count, _UNSERVED_TOGETHER):
            numbers = range(start, min(count, start + _UNSERVED_TOGETHER))
            self._send(
                [replace(unserved, salt=b"unserved" + number.to_bytes(24, "big")) for number in numbers]
            )
            if count > _UNSERVED_TOGETHER:
                say(f"{numbers.stop} of {count} tasks that nobody serves")

    def _send(self, requests: Sequence[Request]) -> None:
        parts = [requests[start : start + _SUBMIT_TASKS] for start in range(0, len(requests), _SUBMIT_TASKS)]
        calls = [self._submission(part) for part in parts]
        Sender(self.market.rpc, _REQUESTER).send_many(calls, gas_limit=_SUBMIT_GAS)

    def submit_at_once(self, request: Request) -> float:
        """The unix time at which the node, which mines at once, had answered it."""
        call, rpc = self._submission([request]), self.market.rpc
        signed = _REQUESTER.sign_transaction(
            {
                "type": 2,
                "chainId": rpc.chain_id(),
                "nonce": rpc.nonce(_REQUESTER.address),
                "to": cast("ChecksumAddress", call.to),
                "data": call.data,
                "value": call.value_wei,
                "gas": _SUBMIT_GAS,
                "maxFeePerGas": 3 * rpc.latest().base_fee_wei,
                "maxPriorityFeePerGas": 0,
            }
        )
        rpc.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        return time.time()

    def _submission(self, requests: Sequence[Request]) -> Call:
        value_units = sum(request.max_fee_units + request.tip_units for request in requests)
        return self.market.submit_many(requests, value_units)

    def requests(
        self, inputs: Sequence[Sequence[Prompt]], params: GenerationParams, tip_units: int, first: int = 0
    ) -> list[Request]:
        """One for each input, which is in the store; `first` is the salt of the first."""
        self.store.put(params_key(params.digest()), params.encoded())
        with ThreadPoolExecutor(_STORE_THREADS) as pool:
            digests = list(pool.map(self._put, range(len(inputs)), inputs))
        deadline = self.market.rpc.latest().timestamp + 7_200
        return [
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
            for number, (digest, prompts) in enumerate(zip(digests, inputs, strict=True), first)
        ]

    def _put(self, number: int, prompts: Sequence[Prompt]) -> bytes:
        data = write_input(number.to_bytes(32, "big"), prompts)
        self.store.put(input_key(sha256(data)), data)
        return sha256(data)


def open_place(home: Path, block_millis: int | None, model_dir: Path = MODEL_DIR) -> Place:
    """Starts a devnet of the "bench" preset that ends with this process; requests ask for the model given."""
    devnet = devnets.up(home, preset="bench", block_millis=block_millis, die_with_parent=True)
    rpc = Rpc(devnet.rpc_url)
    market = Market(rpc, devnet.deployment)
    keystore.create(home / "keystore.json", PASSWORD, bytes(_OPERATOR.key), light=True)
    Sender(rpc, _REQUESTER).send_and_wait(market.deposit(_OPERATOR.address, _DEPOSIT_UNITS))
    store = ContentStore(str(home / "store"))
    return Place(home, devnet, market, store, model_dir, model_id(build_manifest(model_dir)))


def start_worker(config: WorkerConfig) -> "subprocess.Popen[bytes]":
    """A worker in a process of its own. It leaves in `began` the unix times at which its imports were done and it was
    put together, and the processor seconds it took so far.
    """
    config.state_dir.mkdir(parents=True, exist_ok=True)
    path = config.state_dir / "config.toml"
    path.write_text(render(config), encoding="utf-8")
    environment = {**os.environ, keystore.PASSWORD_VARIABLE: PASSWORD}
    return subprocess.Popen([sys.executable, "-P", "-c", _RUN, str(path)], env=environment)


def await_settled(
    config: WorkerConfig,
    tasks: int,
    child: "subprocess.Popen[bytes]",
    timeout_secs: float,
    look_secs: float = _LOOK_SECS,
) -> list[tuple[float, int]]:
    """Until the worker's database has all tasks settled: each unix time at which there were more, and how many."""
    give_up = time.monotonic() + timeout_secs
    shown_at = 0.0
    seen: list[tuple[float, int]] = []
    while time.monotonic() < give_up:
        if child.poll() is not None:
            raise SystemExit(
                f"the worker ended with status {child.returncode}; see {config.state_dir}/worker.log"
            )
        settled = _settled(config.database)
        if settled > (seen[-1][1] if seen else 0):
            seen.append((time.time(), settled))
        if settled >= tasks:
            return seen
        if time.monotonic() - shown_at > _SHOW_SECS:
            shown_at = time.monotonic()
            say(f"{settled} of {tasks} settled")
        time.sleep(look_secs)
    raise SystemExit(f"not settled within {timeout_secs:g} s; see {config.state_dir}/worker.log")


def _settled(path: Path) -> int:
    """By the index alone: to look often shall cost the worker's machine little."""
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT COUNT(*) FROM task WHERE state = ?", (int(TaskState.SETTLED),))
        return int(row.fetchone()[0])
    except sqlite3.OperationalError:
        # Its tables are just being made.
        return 0
    finally:
        connection.close()


def await_rows(config: WorkerConfig, count: str, wanted: int) -> None:
    """Until the query `count` finds so many in the worker's database."""
    give_up = time.monotonic() + _ROWS_SECS
    while time.monotonic() < give_up:
        if config.database.exists():
            connection = sqlite3.connect(f"{config.database.as_uri()}?mode=ro", uri=True)
            try:
                if connection.execute(count).fetchone()[0] >= wanted:
                    return
            except sqlite3.OperationalError:
                # Its tables are just being made.
                pass
            finally:
                connection.close()
        time.sleep(_LOOK_SECS)
    raise SystemExit(f"not within {_ROWS_SECS:g} s; see {config.state_dir}/worker.log")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
