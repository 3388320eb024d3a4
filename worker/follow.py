"""Polling: new events into view and database, in one transaction with the cursor; and the chain's clock."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeGuard

from chain import deployment as deployments
from chain.deployment import ChainReset, WrongChain
from chain.follower import Cursor, Follower
from chain.market import Market
from chain.rpc import Block, GarbledAnswer, RpcUnavailable
from protocol import lifecycle
from protocol.errors import QuernError
from worker.artefacts import Call
from worker.chain_rows import KEPT_BLOCKS, Undone
from worker.codes import Reason
from worker.database import Database, Decided
from worker.live import Reorgs
from worker.policy import Clock
from worker.reconciler import Reconciler
from worker.steady import steady_secs
from worker.steps import Step
from worker.tidings import told
from worker.view import View
from worker.words import shown_end

LOG = logging.getLogger("quern.worker.chain")
ANNOUNCED_STORE = "announced_store"
_ANNOUNCED_BLOCK = "announced_block"
_QUIET_SECS = 1.0
_PATIENCE_SECS = 30.0
_AGAIN_SECS = 0.2
_LINES_A_CODE = 16
# Where there are only these, nobody's balance in the market is another: there is nothing to ask for.
_MOVES_NO_BALANCE = (lifecycle.TaskSubmitted, lifecycle.PriorityRaised, lifecycle.TaskSkipped)


class Poller:
    """Reads the chain; `poll` may be called from any thread, and changes everything under `lock`."""

    def __init__(
        self,
        follower: Follower,
        market: Market,
        view: View,
        database: Database,
        lock: threading.RLock,
        wake: Callable[[], None],
    ) -> None:
        self._follower = follower
        self._market = market
        self._view = view
        self._database = database
        self._lock = lock
        self._wake = wake
        self._polling = threading.Lock()
        self._stopped = False
        self._reconciler: Reconciler | None = None
        self._head: Block | None = None
        self._head_seen_at = 0.0
        self._cursor: Cursor | None = None
        # As the database has it; None where that must be read anew.
        self._trail: list[Cursor] | None = None
        self._chain_secs = 0
        self._heard_at = time.monotonic()
        self.failures = 0
        self.reorgs = Reorgs()
        # What no further look can mend: another chain, a database that takes nothing, a defect of ours.
        self.failure: Exception | None = None

    @property
    def head(self) -> Block | None:
        return self._head

    def tell(self, reconciler: Reconciler) -> None:
        """From now on, what happens to this worker's tasks is passed on."""
        self._reconciler = reconciler

    @property
    def silent_secs(self) -> float:
        """How long ago the chain was last read."""
        return time.monotonic() - self._heard_at

    def clock(self) -> Clock:
        return Clock(self._chain_secs, steady_secs())

    def poll(self) -> None:
        """One look at the chain that begins now; an outage is logged and left for the next."""
        with self._polling:
            if not self._stopped and self.failure is None:
                self._poll()

    def stop(self) -> None:
        """No look goes on when it returns, and none will."""
        with self._polling:
            self._stopped = True

    def _poll(self) -> None:
        try:
            while self._poll_once():
                pass
        except (ChainReset, WrongChain) as error:
            self._fail(error)
        except QuernError as error:
            self.failures += 1
            if self.failures in {1, 10, 100} or self.failures % 1000 == 0:
                LOG.warning("%s", error)
        except Exception as error:  # noqa: BLE001 the main thread raises it
            self._fail(error)
        else:
            self.failures = 0

    def catch_up(self, unwanted: Callable[[], bool] = lambda: False) -> None:
        """Read everything there is, before the first decision, as long as it is not `unwanted`.

        Raises RpcUnavailable, NodeError.
        """
        give_up = time.monotonic() + _PATIENCE_SECS
        more = True
        while more and not unwanted():
            try:
                more = self._poll_once()
                give_up = time.monotonic() + _PATIENCE_SECS
            except RpcUnavailable as error:
                if time.monotonic() > give_up:
                    raise
                LOG.info("%s", error)
                time.sleep(_AGAIN_SECS)

    def _poll_once(self) -> bool:
        """Whether there may be more to read at once."""
        if self._trail is None:
            self._trail = self._database.trail()
        batch = self._follower.poll(self._trail)
        self._heard_at = time.monotonic()
        if batch.reorg_to is not None:
            self._rewind(batch.reorg_to)
            return True
        self._keep_time(batch.head)
        self._view.base_fee_wei = batch.head.base_fee_wei
        if batch.cursor == self._cursor:
            return not batch.complete
        moved = any(not isinstance(event, _MOVES_NO_BALANCE) for event in batch.events)
        account = self._market.account(self._view.me) if moved else None
        with self._lock, self._database.transaction(Step.FOLLOW):
            notes: list[Decided] = []
            announced = self._view.announced_store
            for block, events in groupby(batch.events, key=lambda event: event.at.block_number):
                for event in events:
                    self._view.apply(event)
                    notes += self._react(event)
                changed = self._view.take_changed()
                if changed:
                    may_be_undone = block > batch.cursor.number - KEPT_BLOCKS
                    self._database.save_tasks(changed, block if may_be_undone else None)
                if self._view.announced_store != announced:
                    announced = self._view.announced_store
                    self._database.set_meta(ANNOUNCED_STORE, announced)
                    self._database.set_meta(_ANNOUNCED_BLOCK, str(block))
            if account is not None:
                self._view.free_units, self._view.locked_units = account.free_units, account.locked_units
            if notes:
                self._database.note(notes)
            self._database.set_cursor(batch.cursor, batch.marks)
        self._cursor = batch.cursor
        kept = (before for before in self._trail if before.number >= batch.cursor.number - KEPT_BLOCKS)
        self._trail = [batch.cursor, *reversed(batch.marks), *kept]
        _log(notes, [event for event in batch.events if self._is_my_claim(event)])
        if batch.events:
            self._wake()
        return not batch.complete

    def refresh_account(self) -> None:
        """Balances move without events of ours, too; and a chain may be replaced by a shorter one."""
        try:
            deployments.check(self._market.deployment, self._market.rpc)
            account = self._market.account(self._view.me)
        except (ChainReset, WrongChain) as error:
            self._fail(error)
            return
        except QuernError:
            return
        with self._lock:
            self._view.free_units, self._view.locked_units = account.free_units, account.locked_units

    def _keep_time(self, head: Block) -> None:
        """The chain's clock stands still between blocks; where they come rarely, the pending block's time counts."""
        now = time.monotonic()
        if self._head is None or head.hash != self._head.hash:
            self._head, self._head_seen_at = head, now
            self._chain_secs = max(self._chain_secs, head.timestamp)
            self._wake()
        elif now - self._head_seen_at >= _QUIET_SECS:
            self._head_seen_at = now
            pending = self._market.rpc.call("eth_getBlockByNumber", "pending", False)
            stamp = pending.get("timestamp") if isinstance(pending, dict) else None
            if isinstance(stamp, str):
                self._chain_secs = max(self._chain_secs, self._quantity(stamp))
                self._wake()

    def _quantity(self, text: str) -> int:
        try:
            return int(text, 16)
        except ValueError as error:
            raise GarbledAnswer(self._market.rpc.masked_url, f"a garbled number: {error}") from error

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self._wake()

    def _rewind(self, to_block: int) -> None:
        """Blocks after `to_block` are gone: what they changed is put back, and the new blocks are read like any."""
        deployments.check(self._market.deployment, self._market.rpc)
        account = self._market.account(self._view.me)
        self._cursor = self._trail = None
        with self._lock:
            depth = self._database.block_taken_in() - to_block
            self.reorgs = Reorgs(self.reorgs.count + 1, depth)
            with self._database.transaction(Step.REWIND):
                undone = self._database.rewind(to_block)
                if undone is None:
                    self._database.forget_chain()
                if int(self._database.meta(_ANNOUNCED_BLOCK) or 0) > to_block:
                    self._view.announced_store = ""
                    self._database.set_meta(ANNOUNCED_STORE, "")
            self._view.free_units, self._view.locked_units = account.free_units, account.locked_units
            if undone is None:
                LOG.warning("the chain was reorganised after block %d: reading all events again", to_block)
                self._view.reset()
                # Nothing is decided on half of a history: the lock is kept.
                self.catch_up()
                undone = self._all_anew()
            else:
                counts = len(undone.restored), len(undone.gone)
                LOG.warning("reorganised after block %d: %d tasks put back, %d gone", to_block, *counts)
                self._view.put_back(undone.restored, undone.gone)
            if self._reconciler is not None:
                self._reconciler.rewound(undone.restored, undone.gone)

    def _all_anew(self) -> Undone:
        tasks = self._view.tasks
        worked_on = () if self._reconciler is None else self._reconciler.artefacts
        return Undone(tuple(tasks.values()), tuple(task_id for task_id in worked_on if task_id not in tasks))

    def _react(self, event: lifecycle.Event) -> list[Decided]:
        """What an event means for this worker's own tasks: the reconciler hears of it, and `why` will tell."""
        if self._reconciler is not None:
            self._tell(self._reconciler, event)
        task = self._view.tasks.get(_task_of(event))
        reason = told(event, self._view.me, task, self._market.deployment.currency)
        return [] if reason is None else [Decided(_task_of(event), time.time(), reason)]

    def _tell(self, reconciler: Reconciler, event: lifecycle.Event) -> None:
        me = self._view.me
        match event:
            case lifecycle.TaskClaimed() if event.worker == me:
                reconciler.took_effect(Call.CLAIM, event.task_id)
            case lifecycle.ResultCommitted() if event.worker == me:
                reconciler.committed(event.task_id)
            case lifecycle.RevealOpened():
                reconciler.took_effect(Call.OPEN_REVEAL, event.task_id)
            case lifecycle.ResultRevealed() if event.worker == me:
                reconciler.took_effect(Call.REVEAL, event.task_id)
            case lifecycle.LeafAnswered() | lifecycle.DemandLapsed() | lifecycle.DemandClosed():
                reconciler.answered(event.task_id, event.leaf)
            case lifecycle.LeaseLapsed() | lifecycle.LeaseReleased() | lifecycle.CommitmentBurned() if (
                event.worker == me
            ):
                reconciler.lost(event.task_id)
            case lifecycle.ResultPosted() | lifecycle.RoundWon() if self._is_mine(event.task_id):
                reconciler.posted(event.task_id)
            case lifecycle.RoundWon() | lifecycle.TaskSettled() | lifecycle.TaskRefunded():
                reconciler.ended(event.task_id)
            case lifecycle.TaskSkipped():
                reconciler.refused(event.task_id, event.at.tx_hash, event.reason)
            case _:
                pass

    def _is_my_claim(self, event: lifecycle.Event) -> TypeGuard[lifecycle.TaskClaimed]:
        return isinstance(event, lifecycle.TaskClaimed) and event.worker == self._view.me

    def _is_mine(self, task_id: bytes) -> bool:
        task = self._view.tasks.get(task_id)
        return task is not None and task.answered_for_by(self._view.me)


def _task_of(event: lifecycle.Event) -> bytes:
    """b"" for events of no task."""
    return getattr(event, "task_id", b"")


def _log(notes: Sequence[Decided], claims: Sequence[lifecycle.TaskClaimed]) -> None:
    """A line a task; where very many come in at once, a line for all of them that names each."""
    claimed = [
        Decided(
            event.task_id,
            time.time(),
            Reason("CLAIM-020", f"claimed until {shown_end(event.until, event.at.timestamp)}"),
        )
        for event in claims
    ]
    for code in dict.fromkeys(item.reason.code for item in (*claimed, *notes)):
        items = [item for item in (*claimed, *notes) if item.reason.code == code]
        if len(items) <= _LINES_A_CODE:
            for item in items:
                LOG.info("0x%s %s", item.task_id.hex(), item.reason)
        else:
            names = " ".join(f"0x{item.task_id.hex()[:12]}" for item in items)
            LOG.info("%s of %d tasks: %s", code, len(items), names)
