"""Polling: new events into view and database, in one transaction with the cursor; and the chain's clock."""

import logging
import threading
import time
from collections.abc import Callable

from chain import deployment as deployments
from chain.deployment import ChainReset, WrongChain
from chain.follower import Follower
from chain.market import Market
from chain.rpc import Block
from protocol import lifecycle
from protocol.errors import QuernError
from worker.artefacts import Call
from worker.codes import Reason
from worker.database import Database, Decided
from worker.decide import Clock
from worker.reconciler import Reconciler
from worker.view import View

LOG = logging.getLogger("quern.worker.chain")
ANNOUNCED_STORE = "announced_store"
_QUIET_SECS = 1.0


class Poller:
    """Reads the chain; `poll` runs on the scheduler's thread, everything it changes under `lock`."""

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
        self._reconciler: Reconciler | None = None
        self._head: Block | None = None
        self._head_seen_at = 0.0
        self._chain_secs = 0
        self.failures = 0
        self.lost_chain: ChainReset | WrongChain | None = None

    @property
    def head(self) -> Block | None:
        return self._head

    def tell(self, reconciler: Reconciler) -> None:
        """From now on, what happens to this worker's tasks is passed on."""
        self._reconciler = reconciler

    def clock(self) -> Clock:
        return Clock(self._chain_secs, time.time())

    def poll(self) -> None:
        """One look at the chain; an outage is logged and left for the next."""
        try:
            while self._poll_once():
                pass
        except (ChainReset, WrongChain) as error:
            self._lose_chain(error)
        except QuernError as error:
            self.failures += 1
            if self.failures in {1, 10, 100} or self.failures % 1000 == 0:
                LOG.warning("%s", error)
        else:
            self.failures = 0

    def catch_up(self) -> None:
        """Read everything there is, before the first decision. Raises RpcUnavailable, NodeError."""
        while self._poll_once():
            pass

    def _poll_once(self) -> bool:
        """Whether there may be more to read at once."""
        batch = self._follower.poll(self._database.trail())
        if batch.reorg_to is not None:
            self._rewind(batch.reorg_to)
            return True
        self._keep_time(batch.head)
        account = self._market.account(self._view.me) if batch.events else None
        with self._lock, self._database.transaction():
            notes: list[Decided] = []
            for event in batch.events:
                self._view.apply(event)
                notes += self._react(event)
            if account is not None:
                self._view.free_units, self._view.locked_units = account.free_units, account.locked_units
            self._view.base_fee_wei = batch.head.base_fee_wei
            if self._view.announced_store:
                self._database.set_meta(ANNOUNCED_STORE, self._view.announced_store)
            changed = self._view.take_changed()
            if changed:
                self._database.save_tasks(changed)
            if notes:
                self._database.note(notes)
            self._database.set_cursor(batch.cursor)
        if batch.events:
            self._wake()
        return not batch.complete

    def refresh_account(self) -> None:
        """Balances move without events of ours, too; and a chain may be replaced by a shorter one."""
        try:
            deployments.check(self._market.deployment, self._market.rpc)
            account = self._market.account(self._view.me)
        except (ChainReset, WrongChain) as error:
            self._lose_chain(error)
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
                self._chain_secs = max(self._chain_secs, int(stamp, 16))
                self._wake()

    def _lose_chain(self, error: ChainReset | WrongChain) -> None:
        self.lost_chain = error
        self._wake()

    def _rewind(self, to_block: int) -> None:
        """Blocks after `to_block` are gone. Rows are changed in place, so all are derived anew."""
        deployments.check(self._market.deployment, self._market.rpc)
        LOG.warning("the chain was reorganised after block %d: reading the market's events again", to_block)
        with self._lock:
            self._database.forget_chain()
            self._view.reset()

    def _react(self, event: lifecycle.Event) -> list[Decided]:
        """What an event means for this worker's own tasks: the reconciler hears of it, and `why` will tell."""
        if self._reconciler is not None:
            self._tell(self._reconciler, event)
        match event:
            case lifecycle.LeaseLapsed() if event.worker == self._view.me:
                return [_note(event, event.task_id, "LOST-002", f"bond of {event.burned_units} units burned")]
            case lifecycle.ResultPosted() if self._is_held(event.task_id):
                return [_note(event, event.task_id, "POST-002", f"in block {event.at.block_number}")]
            case lifecycle.TaskSettled() if event.worker == self._view.me:
                return [_note(event, event.task_id, "SETTLE-002", f"paid {event.paid_units} units")]
            case lifecycle.TaskRefunded() if self._was_mine(event.task_id):
                return [_note(event, event.task_id, "END-001", "refunded to the requester")]
            case _:
                return []

    def _tell(self, reconciler: Reconciler, event: lifecycle.Event) -> None:
        match event:
            case lifecycle.TaskClaimed() if event.worker == self._view.me:
                reconciler.took_effect(Call.CLAIM, event.task_id)
            case lifecycle.LeaseLapsed() | lifecycle.LeaseReleased() if event.worker == self._view.me:
                reconciler.lost(event.task_id)
            case lifecycle.ResultPosted() if self._is_held(event.task_id):
                reconciler.posted(event.task_id)
            case lifecycle.TaskSettled() | lifecycle.TaskRefunded():
                reconciler.ended(event.task_id)
            case lifecycle.TaskSkipped():
                reconciler.refused(event.task_id, event.reason)
            case _:
                pass

    def _is_held(self, task_id: bytes) -> bool:
        task = self._view.tasks.get(task_id)
        return task is not None and task.holder == self._view.me

    def _was_mine(self, task_id: bytes) -> bool:
        task = self._view.tasks.get(task_id)
        return task is not None and task.mine


def _note(event: lifecycle.Event, task_id: bytes, code: str, text: str) -> Decided:
    return Decided(task_id, float(event.at.timestamp), Reason(code, text))
