"""What other processes may ask of a running worker, and withdrawing, which works either way."""

import os
import signal
import time
from dataclasses import dataclass

from chain import deployment as deployments
from chain.market import Market
from chain.rpc import Rpc
from chain.sender import Sender
from protocol.abi import parse_address
from protocol.currency import Currency
from protocol.digest import to_hex
from protocol.errors import QuernError
from worker import keystore
from worker.artefacts import Call
from worker.config import WorkerConfig
from worker.database import Database
from worker.errors import NoAnswer, NotEnoughFree, NotRunning, RequestRefused
from worker.journal import DatabaseJournal
from worker.live import read_live
from worker.lock import KeyLock, running_pid
from worker.outbox import Outbox
from worker.steps import Step
from worker.view import View

_WITHDRAW = "withdraw"
_ANSWER_SECS = 60.0
_LOOK_SECS = 0.1
_SEEN_SECS = 5.0


def drain(config: WorkerConfig, wait_secs: float = 0.0) -> None:
    """Let the running worker finish what it claimed and end; wait for that if asked. Raises NotRunning, NoAnswer."""
    pid = running_pid(config.state_dir)
    if pid is None:
        raise NotRunning(str(config.state_dir))
    if not _drains(config, pid):
        # A second signal would stop it at once: whoever asks next shall see that it drains.
        os.kill(pid, signal.SIGTERM)
        seen_by = time.monotonic() + _SEEN_SECS
        while (
            not _drains(config, pid) and running_pid(config.state_dir) == pid and time.monotonic() < seen_by
        ):
            time.sleep(_LOOK_SECS)
    deadline = time.monotonic() + wait_secs
    while wait_secs and running_pid(config.state_dir) is not None:
        if time.monotonic() > deadline:
            raise NoAnswer("drain", wait_secs)
        time.sleep(_LOOK_SECS)


def _drains(config: WorkerConfig, pid: int) -> bool:
    database = Database(config.database, read_only=True)
    try:
        live = read_live(database) or {}
        # A snapshot may be of an earlier process.
        return live.get("pid") == pid and bool(live.get("draining"))
    finally:
        database.close()


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was moved, where to, by which transaction ("0x" hex)."""

    amount_units: int
    to: str
    transaction: str


def withdraw(
    config: WorkerConfig, password: str, amount_units: int | None = None, to: str | None = None
) -> Withdrawn:
    """Send free balance, all of it unless an amount is given, to `to` or the key's own address.

    A running worker sends it itself, because one key works in one process. Raises NotEnoughFree, RequestRefused,
    NoAnswer, BadAddress, WrongPassword and what the chain refuses.
    """
    account = keystore.unlock(config.keys.keystore, password)
    receiver = account.address if to is None else parse_address("to", to)
    deployment = deployments.load(config.chain.deployment)
    if running_pid(config.state_dir) is not None:
        return _ask_to_withdraw(config, amount_units, receiver)
    rpc = Rpc(config.chain.rpc_url or deployment.rpc_url, config.chain.timeout_secs)
    deployments.check(deployment, rpc)
    lock = KeyLock(to_hex(deployment.genesis_hash), account.address, config.state_dir)
    try:
        market = Market(rpc, deployment)
        free_units = market.account(account.address).free_units
        amount = checked_amount(free_units, amount_units, deployment.currency)
        database = Database(config.database)
        try:
            sender = Sender(rpc, account, DatabaseJournal(database))
            sent = sender.send_and_wait(market.withdraw(amount, receiver), timeout_secs=_ANSWER_SECS)
            return Withdrawn(amount, receiver, to_hex(sent.tx_hash))
        finally:
            database.close()
    finally:
        lock.release()


def checked_amount(free_units: int, amount_units: int | None, currency: Currency) -> int:
    """What will be withdrawn. Raises NotEnoughFree."""
    amount = free_units if amount_units is None else amount_units
    if not 0 < amount <= free_units:
        raise NotEnoughFree(amount, free_units, currency)
    return amount


def _ask_to_withdraw(config: WorkerConfig, amount_units: int | None, to: str) -> Withdrawn:
    database = Database(config.database)
    try:
        number = database.ask(_WITHDRAW, f"{'' if amount_units is None else amount_units} {to}")
        deadline = time.monotonic() + _ANSWER_SECS
        while time.monotonic() < deadline:
            answer = database.answer_to(number)
            if answer is not None:
                if "error" in answer:
                    raise RequestRefused(_WITHDRAW, str(answer["error"]))
                amount, _, _ = database.request(number).partition(" ")
                return Withdrawn(int(amount), to, str(answer["tx_hash"]))
            time.sleep(_LOOK_SECS)
        raise NoAnswer(_WITHDRAW, _ANSWER_SECS)
    finally:
        database.close()


def answer_requests(database: Database, outbox: Outbox, market: Market, view: View) -> None:
    """Inside the running worker: carry out what others left in the database."""
    for number, kind, argument in database.open_requests():
        if kind != _WITHDRAW:
            _refuse(database, number, f"{kind} is not known")
            continue
        amount, _, to = argument.partition(" ")
        try:
            units = checked_amount(
                view.free_units, int(amount) if amount else None, market.deployment.currency
            )
        except QuernError as error:
            _refuse(database, number, str(error))
            continue
        with database.transaction(Step.TAKE_REQUEST):
            # "All" has become an amount, which the asker will want to know.
            database.set_request(number, f"{units} {to}")
            outbox.send(Call.WITHDRAW, market.withdraw(units, to), request=number)


def _refuse(database: Database, number: int, why: str) -> None:
    with database.transaction(Step.REFUSE_REQUEST):
        database.answer(number, {"error": why})
