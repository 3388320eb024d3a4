"""One reconciler: takes in what happened, asks `decide`, and carries the actions out, durable before visible.

Everything here runs on the worker's main thread under `lock`, which polling shares. The order within a step is the
order crashes are survived in: database first (one transaction, one fsync), then store and engine, then the chain.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from chain.call import Call as MarketCall
from chain.journal import Intent
from chain.market import Market
from chain.sender import Sender
from chain.store import ContentStore, output_key, receipt_key
from protocol.digest import JsonValue, to_hex
from protocol.domain import Domain
from protocol.errors import QuernError
from protocol.lifecycle import SkipReason, TaskState
from protocol.receipt import Receipt
from worker.artefacts import NOTHING_YET, Artefact, Call, Input, Stage, lies_outside
from worker.codes import Reason
from worker.database import Database, Decided, Result, Sending
from worker.decide import Act, Action, Clock, Policy, decide
from worker.engines import EngineHost, Failed, Job
from worker.inputs import CheckedInput, InputReader, InputRefused, StoreAway
from worker.models import ServedModel
from worker.results import Generated, result_of
from worker.selection import Chooser
from worker.view import View

LOG = logging.getLogger("quern.worker")
_FETCHERS = 4
# Each waits for the disk, not for the processor: many share one flush.
_STORERS = 16
_RETRY_SECS = 2.0
_SKIP_RETRY_SECS = 1.0
_ENGINE_RETRY_SECS = 0.5
# Limits above the measured cost (hardhat-local/snapshots); what is not used is not paid.
_GAS_FIXED = 120_000
_GAS_PER_TASK = {Call.CLAIM: 16_000, Call.POST: 15_000, Call.SETTLE: 20_000}


@dataclass(slots=True)
class Parts:
    """What the reconciler works with. `retry_secs` is how long a failed fetch or store waits."""

    database: Database
    view: View
    market: Market
    sender: Sender
    reader: InputReader
    chooser: Chooser
    host: EngineHost
    store: ContentStore
    models: Mapping[bytes, ServedModel]
    domain: Domain
    policy: Callable[[], Policy]
    clock: Callable[[], Clock]
    batch_sizes: Mapping[Call, int]
    wake: Callable[[], None]


@dataclass(slots=True)
class _Fetched:
    task_id: bytes
    checked: CheckedInput | None = None
    refused: Reason | None = None


class Reconciler:
    """See the module's text."""

    def __init__(self, parts: Parts, lock: threading.RLock) -> None:
        self._parts = parts
        self._lock = lock
        self._artefacts: dict[bytes, Artefact] = {}
        self._checked: dict[bytes, CheckedInput] = {}
        self._generated: dict[bytes, Generated] = {}
        self._results: dict[bytes, Result] = {}
        self._fetched: SimpleQueue[_Fetched] = SimpleQueue()
        self._stored: SimpleQueue[tuple[bytes, QuernError | None]] = SimpleQueue()
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        # Servers that strangers name may be slow: nobody else's input waits behind them.
        self._outside = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch-outside")
        self._storers = ThreadPoolExecutor(_STORERS, thread_name_prefix="store")
        self._sendings: dict[str, Sending] = {}
        self._mined: list[tuple[int, Sending, bool]] = []
        self._serial = 0
        self._recover()

    @property
    def artefacts(self) -> Mapping[bytes, Artefact]:
        return self._artefacts

    @property
    def sending(self) -> bool:
        """Whether the outcome of some transaction is open."""
        return bool(self._sendings)

    @property
    def idle(self) -> bool:
        """Nothing leased can still be finished, and no transaction is under way."""
        held = (self._artefacts.get(task.id, NOTHING_YET) for task in self._parts.view.held())
        return all(artefact.hopeless for artefact in held) and not self._sendings

    def close(self) -> None:
        for pool in (self._fetchers, self._outside, self._storers):
            pool.shutdown(wait=False, cancel_futures=True)

    def step(self) -> None:
        """One round: take in, decide, act, send."""
        with self._lock:
            self._take_fetched()
            self._take_stored()
            self._take_outcomes()
            clock = self._parts.clock()
            self._close_mined()
            self._parts.view.advance(clock.chain_secs)
            actions = decide(self._parts.view, self._artefacts, clock, self._parts.policy())
            if actions:
                self._perform(actions, clock)
        self.pump()

    def pump(self) -> None:
        """Sign, send and learn outcomes. Only the main thread sends. Raises what the sender raises."""
        if not self._sendings:
            return
        try:
            ended = self._parts.sender.pump()
        except QuernError:
            self._note_outcomes(self._unheard())
            raise
        self._note_outcomes(ended)

    def _unheard(self) -> list[Intent]:
        """Outcomes the journal has and this worker never heard of: the step that learned them did not return."""
        noted = {sending.key for _, sending, _ in self._mined}
        intents = (self._parts.sender.intent(key) for key in self._sendings if key not in noted)
        return [intent for intent in intents if intent is not None and intent.ended]

    def _note_outcomes(self, ended: Sequence[Intent]) -> None:
        if ended:
            with self._lock, self._parts.database.transaction():
                for intent in ended:
                    self._note_outcome(intent)
            self._parts.wake()

    def send(
        self, call: Call, market_call: MarketCall, task_ids: Sequence[bytes] = (), request: int | None = None
    ) -> None:
        """Plan a transaction durably, with the tasks it is for, or the request it answers."""
        per_task = _GAS_PER_TASK.get(call, 0)
        with self._lock:
            self._serial += 1
            sending = Sending(f"{call.value}-{time.time_ns()}-{self._serial}", call, tuple(task_ids), request)
            with self._parts.database.transaction():
                self._parts.database.open_sending(sending)
                self._parts.sender.plan(
                    sending.key, market_call, gas_limit=_GAS_FIXED + per_task * len(task_ids)
                )
            self._sendings[sending.key] = sending
            for task_id in task_ids:
                self._artefact(task_id).under_way = call

    def under_way(self, call: Call) -> bool:
        return any(sending.call is call for sending in self._sendings.values())

    def lost(self, task_id: bytes) -> None:
        """The chain says the lease is gone: stop working on it."""
        self._parts.host.drop(task_id)
        self._forget(task_id)

    def ended(self, task_id: bytes) -> None:
        """Nothing is left to do for this task."""
        self._forget(task_id)

    def took_effect(self, call: Call, task_id: bytes) -> None:
        """The call's event is there: the next action need not wait for the transaction's receipt."""
        artefact = self._artefacts.get(task_id)
        if artefact is not None and artefact.under_way is call:
            artefact.under_way, artefact.refused = None, 0

    def posted(self, task_id: bytes) -> None:
        """The result is on the chain; what is left is to settle."""
        self.took_effect(Call.POST, task_id)
        self._checked.pop(task_id, None)
        self._results.pop(task_id, None)

    def refused(self, task_id: bytes, skip_reason: int) -> None:
        """The market left the task out of a transaction."""
        artefact = self._artefacts.get(task_id)
        if artefact is not None and artefact.under_way is not None:
            artefact.refused = skip_reason

    def _recover(self) -> None:
        """Take up what an earlier process left: results to post, failures, declines, transactions under way."""
        parts = self._parts
        for task_id, reason in parts.database.declined().items():
            if task_id in parts.view.tasks:
                self._artefact(task_id).declined = reason
        for task_id, failures in parts.database.failures().items():
            if task_id in parts.view.tasks:
                self._artefact(task_id).attempts = failures
        held = [task.id for task in parts.view.held()]
        for task_id, result in parts.database.results(held).items():
            self._results[task_id] = result
            self._artefact(task_id).stage = Stage.GENERATED
        for sending in parts.database.sendings():
            self._sendings[sending.key] = sending
            for task_id in sending.task_ids:
                self._artefact(task_id).under_way = sending.call
        self._note_outcomes(self._unheard())

    def _artefact(self, task_id: bytes) -> Artefact:
        artefact = self._artefacts.get(task_id)
        if artefact is None:
            artefact = self._artefacts[task_id] = Artefact()
        return artefact

    def _forget(self, task_id: bytes) -> None:
        for known in (self._artefacts, self._checked, self._generated, self._results):
            known.pop(task_id, None)

    def _note(self, task_id: bytes, reason: Reason) -> None:
        with self._parts.database.transaction():
            self._parts.database.note([Decided(task_id, time.time(), reason)])

    def _take_fetched(self) -> None:
        while not self._fetched.empty():
            fetched = self._fetched.get()
            artefact = self._artefacts.get(fetched.task_id)
            if artefact is None:
                continue
            if fetched.checked is not None:
                artefact.input, artefact.facts = Input.READY, fetched.checked.facts
                self._checked[fetched.task_id] = fetched.checked
            elif fetched.refused is not None:
                artefact.input, artefact.bad = Input.BAD, fetched.refused
            else:
                if not artefact.retry_at:
                    self._note(
                        fetched.task_id, Reason("FETCH-005", "the store does not answer; asked again later")
                    )
                artefact.input, artefact.retry_at = Input.UNKNOWN, time.time() + _RETRY_SECS

    def _take_outcomes(self) -> None:
        status = self._parts.host.status()
        for task_id in status.running:
            artefact = self._artefacts.get(task_id)
            if artefact is not None and artefact.stage is Stage.QUEUED:
                artefact.stage = Stage.RUNNING
        failed: list[Failed] = []
        for outcome in self._parts.host.take():
            artefact = self._artefacts.get(outcome.task_id)
            if artefact is None:
                continue
            if isinstance(outcome, Failed):
                artefact.stage = Stage.IDLE
                artefact.attempts += 1
                artefact.retry_at = time.time() + _ENGINE_RETRY_SECS
                failed.append(outcome)
            else:
                artefact.stage = Stage.GENERATED
                self._generated[outcome.task_id] = outcome
        if failed:
            now = time.time()
            with self._parts.database.transaction():
                self._parts.database.count_failures(item.task_id for item in failed)
                self._parts.database.note(
                    Decided(item.task_id, now, Reason("RUN-003", item.why)) for item in failed
                )

    def _perform(self, actions: Sequence[Action], clock: Clock) -> None:
        chosen: dict[Act, list[Action]] = {}
        for action in actions:
            chosen.setdefault(action.act, []).append(action)
        for act, call in ((Act.POST, Call.POST), (Act.SETTLE, Call.SETTLE)):
            # While one is on its way, more gathers for the next: few full transactions, not many small ones.
            if self.under_way(call) and len(chosen.get(act, ())) < self._parts.batch_sizes[call]:
                chosen.pop(act, None)
        now = clock.wall_secs
        notes = [
            Decided(action.task_id, now, action.reason)
            for group in chosen.values()
            for action in group
            if action.reason is not None and action.task_id
        ]
        made = self._make_results(chosen.get(Act.PERSIST, ()))
        notes += [Decided(result.task_id, now, _generated(result)) for result in made]
        with self._parts.database.transaction():
            self._decline(chosen.get(Act.DECLINE, ()))
            self._parts.database.save_results(made)
            self._plan_sendings(chosen)
            self._parts.database.note(notes)
        self._alert(chosen.get(Act.ALERT, ()))
        self._store_results(chosen.get(Act.PERSIST, ()))
        self._run(chosen.get(Act.RUN, ()), clock)
        for action in chosen.get(Act.FETCH, ()):
            artefact = self._artefact(action.task_id)
            artefact.input, artefact.fetch_started_at = Input.FETCHING, now
            uri = self._parts.view.tasks[action.task_id].request.input_uri
            (self._outside if lies_outside(uri) else self._fetchers).submit(self._fetch, action.task_id)

    def _decline(self, actions: Iterable[Action]) -> None:
        declined = [(action.task_id, action.reason) for action in actions if action.reason is not None]
        self._parts.database.decline(declined)
        for task_id, reason in declined:
            artefact = self._artefact(task_id)
            artefact.declined = reason
            self._checked.pop(task_id, None)
            self._parts.view.set_aside(task_id)
            LOG.info("declined 0x%s: %s", task_id.hex(), reason)

    def _alert(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._artefact(action.task_id).alerted = True
            LOG.warning("0x%s: %s", action.task_id.hex(), action.reason)

    def _plan_sendings(self, chosen: Mapping[Act, Sequence[Action]]) -> None:
        parts = self._parts
        for ids in _chunks(chosen.get(Act.CLAIM, ()), parts.batch_sizes[Call.CLAIM]):
            self.send(Call.CLAIM, parts.market.claim_many(ids), ids)
        for ids in _chunks(chosen.get(Act.POST, ()), parts.batch_sizes[Call.POST]):
            results = [self._results[task_id] for task_id in ids]
            receipts = [Receipt(item.task_id, item.body, item.output_tokens) for item in results]
            self.send(Call.POST, parts.market.post_batch(receipts), ids)
        for ids in _chunks(chosen.get(Act.SETTLE, ()), parts.batch_sizes[Call.SETTLE]):
            self.send(Call.SETTLE, parts.market.settle_many(ids), ids)
        for action in chosen.get(Act.RELEASE, ()):
            LOG.warning("giving back 0x%s: %s", action.task_id.hex(), action.reason)
            self.send(Call.RELEASE, parts.market.release(action.task_id), (action.task_id,))
        for action in chosen.get(Act.WITHDRAW, ()):
            if not self.under_way(Call.WITHDRAW):
                self.send(Call.WITHDRAW, parts.market.withdraw(action.amount_units, parts.view.me))

    def _make_results(self, actions: Iterable[Action]) -> list[Result]:
        """Output and receipt of what the engine finished; those saved before a restart are there already."""
        made = []
        for action in actions:
            generated = self._generated.pop(action.task_id, None)
            if generated is not None:
                result = result_of(generated, self._parts.domain, self._parts.view.me)
                self._results[action.task_id] = result
                made.append(result)
        return made

    def _store_results(self, actions: Iterable[Action]) -> None:
        """Into the content store, where every posted receipt must be found."""
        for action in actions:
            self._artefact(action.task_id).stage = Stage.STORING
            self._storers.submit(self._put, self._results[action.task_id])

    def _put(self, result: Result) -> None:
        """On a pool thread."""
        failure: QuernError | None = None
        try:
            self._parts.store.put(output_key(result.task_id), result.output)
            self._parts.store.put(receipt_key(result.task_id), result.receipt)
        except QuernError as error:
            failure = error
        self._stored.put((result.task_id, failure))
        self._parts.wake()

    def _take_stored(self) -> None:
        """A store that is away is tried again; the result is safe in the database meanwhile."""
        while not self._stored.empty():
            task_id, failure = self._stored.get()
            artefact = self._artefacts.get(task_id)
            if artefact is None or artefact.stage is not Stage.STORING:
                continue
            artefact.stage = Stage.SAVED if failure is None else Stage.GENERATED
            if failure is not None:
                LOG.warning("result of 0x%s: %s", task_id.hex(), failure)
                artefact.retry_at = time.time() + _RETRY_SECS

    def _run(self, actions: Iterable[Action], clock: Clock) -> None:
        for action in actions:
            task, artefact = self._parts.view.tasks[action.task_id], self._artefact(action.task_id)
            artefact.stage = Stage.QUEUED
            self._parts.host.submit(
                Job(
                    task_id=task.id,
                    model=self._parts.models[task.request.model_id],
                    checked=self._checked[task.id],
                    lease_end=clock.wall_secs + task.until - clock.chain_secs,
                    attempts=artefact.attempts,
                )
            )

    def _fetch(self, task_id: bytes) -> None:
        """On a pool thread: read, check, tokenise, and let the meta-model bound the time."""
        task = self._parts.view.tasks.get(task_id)
        if task is None:
            return
        fetched = _Fetched(task_id)
        try:
            checked = self._parts.reader.read(task.request)
            fetched.checked = self._parts.chooser.with_bound(
                self._parts.models[task.request.model_id], checked
            )
        except InputRefused as error:
            fetched.refused = error.reason
        except StoreAway as error:
            LOG.warning("input of 0x%s: %s", task_id.hex(), error)
        except Exception as error:
            # A stranger's input reached a defect of ours: refuse it, say so, go on.
            LOG.exception("input of 0x%s", task_id.hex())
            fetched.refused = Reason("FETCH-008", f"{type(error).__name__}: {error}")
        self._fetched.put(fetched)
        self._parts.wake()

    def _note_outcome(self, intent: Intent) -> None:
        sending = self._sendings.get(intent.key)
        if sending is None:
            return
        receipt = intent.receipt
        gas_wei = 0 if receipt is None else receipt.fee_wei
        self._parts.database.close_sending(intent.key, gas_wei)
        taken = intent.succeeded
        if not taken:
            LOG.warning("%s transaction had no effect: %s", sending.call.value, intent.reason or "reverted")
        if sending.request is not None:
            self._parts.database.answer(sending.request, _answer(intent, taken=taken))
        self._mined.append((0 if receipt is None else receipt.block_number, sending, taken))

    def _close_mined(self) -> None:
        """A transaction is over once its block's events have been taken in: only then does `decide` see its effect."""
        database = self._parts.database
        seen = database.block_taken_in()
        still: list[tuple[int, Sending, bool]] = []
        notes: list[Decided] = []
        for block, sending, taken in self._mined:
            if block > seen:
                still.append((block, sending, taken))
                continue
            self._sendings.pop(sending.key, None)
            for task_id in sending.task_ids:
                reason = self._close_one(task_id, sending.call, taken=taken)
                if reason is not None:
                    notes.append(Decided(task_id, time.time(), reason))
        self._mined = still
        if notes:
            with database.transaction():
                database.note(notes)

    def _close_one(self, task_id: bytes, call: Call, *, taken: bool) -> Reason | None:
        """The task's transaction is over; if it had no effect on this task, say why and wait before trying again."""
        artefact = self._artefacts.get(task_id)
        if artefact is None or artefact.under_way is not call:
            return None
        artefact.under_way = None
        task = self._parts.view.tasks.get(task_id)
        skipped, artefact.refused = artefact.refused, 0
        if task is None or not _still_due(call, task.state, mine=task.holder == self._parts.view.me):
            return None
        artefact.retry_at = time.time() + _SKIP_RETRY_SECS
        name = SkipReason(skipped).name.lower().replace("_", " ") if skipped else "the transaction failed"
        if call is Call.POST:
            artefact.given_up = taken and skipped != 0
            return Reason("POST-003", name)
        if call is Call.CLAIM:
            return Reason("CLAIM-021" if skipped == SkipReason.LEASE_RUNNING else "WAIT-001", name)
        return None


def _still_due(call: Call, state: TaskState, *, mine: bool) -> bool:
    """Whether the call left the task where it was."""
    match call:
        case Call.CLAIM:
            return not mine or state is not TaskState.LEASED
        case Call.POST | Call.RELEASE:
            return mine and state is TaskState.LEASED
        case Call.SETTLE:
            return state is TaskState.POSTED
        case _:
            return False


def _generated(result: Result) -> Reason:
    secs = (result.finished_ms - result.started_ms) / 1000
    return Reason(
        "RUN-002", f"{result.output_tokens} tokens in {secs:.1f} s with {result.strategy}: {result.why}"
    )


def _answer(intent: Intent, *, taken: bool) -> dict[str, JsonValue]:
    if taken and intent.receipt is not None:
        return {"tx_hash": to_hex(intent.receipt.tx_hash)}
    return {"error": "the transaction was not carried out; see `quern worker status`"}


def _chunks(actions: Sequence[Action], size: int) -> list[list[bytes]]:
    ids = [action.task_id for action in actions]
    return [ids[start : start + size] for start in range(0, len(ids), size)]
