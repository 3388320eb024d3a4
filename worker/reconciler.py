"""One reconciler: takes in what happened, asks `decide`, and carries the actions out, durable before visible.

Everything here runs on the worker's main thread under `lock`, which polling shares. The order within a step is the
order crashes are survived in: database first (one transaction, one fsync), then store and engine, then the chain.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from chain.store import StoreUnavailable
from protocol.domain import Domain
from worker.actions import Act, Action
from worker.artefacts import NOTHING_YET, Artefact, Call, Input, Stage
from worker.calls import Calls
from worker.codes import Reason
from worker.database import Database, Decided, Result
from worker.decide import decide
from worker.dispatch import Dispatcher
from worker.engines import EngineHost
from worker.evidence import NothingToShow
from worker.fetching import Fetcher
from worker.intake import Intake
from worker.jobs import Job
from worker.models import ServedModel
from worker.outbox import Outbox
from worker.policy import Clock, Policy
from worker.results import result_of
from worker.steady import steady_secs
from worker.steps import Step, step
from worker.stock import Stock
from worker.storing import Storer
from worker.task import Task
from worker.view import View
from worker.words import shown_secs

LOG = logging.getLogger("quern.worker")
_RETRY_SECS = 2.0
_DECLINED_LINES = 16
_UNSAVED = frozenset({Stage.QUEUED, Stage.RUNNING, Stage.GENERATED})


@dataclass(slots=True)
class Parts:
    """What the reconciler works with."""

    database: Database
    view: View
    calls: Calls
    outbox: Outbox
    dispatcher: Dispatcher
    fetcher: Fetcher
    storer: Storer
    host: EngineHost
    models: Mapping[bytes, ServedModel]
    domain: Domain
    policy: Callable[[], Policy]
    clock: Callable[[], Clock]
    batch_sizes: Mapping[Call, int]


class Reconciler:
    """See the module's text."""

    def __init__(self, parts: Parts, lock: threading.RLock) -> None:
        self._parts = parts
        self._lock = lock
        self._stock = Stock()
        self._intake = Intake(self._stock, parts.view, parts.database)
        self._stock.recover(parts.database, parts.view, parts.outbox.open)
        to_run = (task.id for task in parts.view.held() if self._stage(task) is Stage.IDLE)
        parts.host.recover(frozenset(to_run))

    @property
    def artefacts(self) -> Mapping[bytes, Artefact]:
        return self._stock.artefacts

    @property
    def idle(self) -> bool:
        """Nothing leased can still be finished, and no transaction is under way."""
        held = (self._stock.artefacts.get(task.id, NOTHING_YET) for task in self._parts.view.held())
        return all(artefact.hopeless for artefact in held) and not self._parts.outbox.open

    def close(self) -> None:
        self._parts.fetcher.close()
        self._parts.storer.close()

    def step(self) -> None:
        """One round: take in, decide, act, send."""
        with self._lock:
            clock, policy = self._parts.clock(), self._parts.policy()
            self._take_in(policy)
            self._parts.view.advance(clock.chain_secs)
            actions = decide(self._parts.view, self._stock.artefacts, clock, policy)
            if actions:
                self._perform(actions, clock)
        self._parts.dispatcher.nudge(self._parts.database.block_taken_in())

    def lost(self, task_id: bytes) -> None:
        """The chain says the lease is gone: stop working on it."""
        self._parts.host.drop(task_id)
        self._stock.forget(task_id)

    def ended(self, task_id: bytes) -> None:
        """Nothing is left to do for this task, which an engine may have after a reorganisation took its lease away."""
        if self._stock.artefacts.get(task_id, NOTHING_YET).stage in _UNSAVED:
            self._parts.host.drop(task_id)
        self._stock.forget(task_id)

    def took_effect(self, call: Call, task_id: bytes) -> None:
        """The call's event is there: the next action need not wait for the transaction's receipt."""
        artefact = self._stock.artefacts.get(task_id)
        if artefact is not None and artefact.under_way is call:
            artefact.under_way, artefact.refused = None, {}

    def committed(self, task_id: bytes) -> None:
        """The commitment is on the chain. After a reorganisation that took the whole task away and brought it back,
        what was committed to is not at hand any more; it is to be revealed all the same.
        """
        self.took_effect(Call.COMMIT, task_id)
        if self._stock.of(task_id).stage is Stage.IDLE:
            for result in self._parts.database.results([task_id]).values():
                self._stock.take_up(self._parts.view.tasks[task_id], result)

    def posted(self, task_id: bytes) -> None:
        """The result is on the chain; what is left is to answer demands and to settle, and for a replica that revealed
        while the store was away, to store it.
        """
        self.took_effect(Call.POST, task_id)
        self.took_effect(Call.CLOSE_ROUND, task_id)
        self._stock.done_with(task_id)

    def answered(self, task_id: bytes, leaf: int) -> None:
        """The demand is over."""
        artefact = self._stock.artefacts.get(task_id)
        if artefact is not None:
            artefact.answering.discard(leaf)

    def refused(self, task_id: bytes, tx_hash: bytes, skip_reason: int) -> None:
        """The market left the task out of a transaction, which may be anybody's."""
        artefact = self._stock.artefacts.get(task_id)
        if artefact is not None and artefact.under_way is not None:
            artefact.refused[tx_hash] = skip_reason

    def rewound(self, tasks: Iterable[Task], gone: Iterable[bytes]) -> None:
        """A reorganisation put `tasks` back to where they were, and those `gone` were never submitted: what rested on
        the orphaned blocks is looked at anew, what this machine has made stays, and what it has sent is mined again.
        """
        tasks, gone = list(tasks), list(gone)
        for task_id in gone:
            self.lost(task_id)
        worked_on = [task for task in tasks if task.mine or task.id in self._stock.artefacts]
        self._stock.rewound(worked_on, self._parts.database.results([task.id for task in worked_on]))
        touched = {*gone, *(task.id for task in tasks)}
        self._parts.outbox.rewound(self._parts.database.block_taken_in())
        for sending in self._parts.outbox.open:
            self._stock.wait_for(sending, touched.intersection(sending.task_ids))

    def _stage(self, task: Task) -> Stage:
        return self._stock.artefacts.get(task.id, NOTHING_YET).stage

    def _take_in(self, policy: Policy) -> None:
        parts, intake = self._parts, self._intake
        fetched = parts.fetcher.take()
        if fetched:
            intake.fetched(fetched)
            self._stock.make_room(policy.fetch_ahead_tokens, parts.view)
        intake.stored(parts.storer.take())
        intake.run(parts.host.status(), parts.host.take())
        intake.sent(parts.outbox.take(parts.database.block_taken_in()))

    def _perform(self, actions: Sequence[Action], clock: Clock) -> None:
        chosen: dict[Act, list[Action]] = {}
        for action in actions:
            chosen.setdefault(action.act, []).append(action)
        for act, call in ((Act.POST, Call.POST), (Act.SETTLE, Call.SETTLE)):
            # While one is on its way, more gathers for the next: few full transactions, not many small ones.
            if (
                self._parts.outbox.under_way(call)
                and len(chosen.get(act, ())) < self._parts.batch_sizes[call]
            ):
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
        with self._parts.database.transaction(Step.DECIDE):
            self._decline(chosen.get(Act.DECLINE, ()))
            self._parts.database.save_results(made)
            self._plan(chosen)
            self._parts.database.note(notes)
        self._parts.host.saved([result.task_id for result in made])
        self._alert(chosen.get(Act.ALERT, ()))
        self._store_results([*chosen.get(Act.PERSIST, ()), *chosen.get(Act.PUBLISH, ())])
        self._run(chosen.get(Act.RUN, ()), clock)
        self._fetch(chosen.get(Act.FETCH, ()), now)

    def _decline(self, actions: Iterable[Action]) -> None:
        declined = [(action.task_id, action.reason) for action in actions if action.reason is not None]
        self._parts.database.decline(declined)
        for task_id, reason in declined:
            artefact = self._stock.of(task_id)
            artefact.declined = reason
            self._stock.checked.pop(task_id, None)
            self._parts.view.set_aside(task_id)
        if len(declined) > _DECLINED_LINES:
            # `why` tells of each.
            for code, count in Counter(reason.code for _, reason in declined).items():
                LOG.info("declined %d tasks: %s", count, code)
            return
        for task_id, reason in declined:
            LOG.info("declined 0x%s: %s", task_id.hex(), reason)

    def _alert(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._stock.of(action.task_id).alerted = True
            LOG.warning("0x%s: %s", action.task_id.hex(), action.reason)

    def _plan(self, chosen: Mapping[Act, Sequence[Action]]) -> None:
        for action in chosen.get(Act.RELEASE, ()):
            LOG.warning("giving back 0x%s: %s", action.task_id.hex(), action.reason)
        for action in chosen.get(Act.ANSWER, ()):
            self._answer(action)
        for call, task_ids in self._parts.calls.plan(chosen, self._stock.results):
            for task_id in task_ids:
                self._stock.of(task_id).under_way = call

    def _answer(self, action: Action) -> None:
        """A demand not answered in time costs the bond: nothing else is sent before."""
        artefact = self._stock.of(action.task_id)
        for leaf in action.leaves:
            try:
                self._parts.calls.answer(self._parts.view.tasks[action.task_id], leaf)
                artefact.answering.add(leaf)
            except NothingToShow as nothing:
                artefact.unanswerable = nothing.reason
                return
            except StoreUnavailable as error:
                LOG.warning("leaf %d of 0x%s: %s", leaf, action.task_id.hex(), error)
                artefact.answer_retry_at = steady_secs() + _RETRY_SECS
                return

    def _make_results(self, actions: Iterable[Action]) -> list[Result]:
        """Output and receipt of what the engine finished; those saved before a restart are there already."""
        made = []
        for action in actions:
            generated = self._stock.generated.pop(action.task_id, None)
            if generated is not None:
                result = result_of(generated, self._parts.domain, self._parts.view.me)
                self._stock.results[action.task_id] = result
                made.append(result)
        return made

    def _store_results(self, actions: Iterable[Action]) -> None:
        """The result of a replica waits here: a lazy one would copy it."""
        ready, inputs = [], {}
        for action in actions:
            task, checked = self._parts.view.tasks[action.task_id], self._stock.checked.get(action.task_id)
            if action.act is Act.PERSIST and task.replicated:
                self._stock.of(task.id).stage = Stage.SEALED
                continue
            self._stock.of(task.id).stage = Stage.STORING
            ready.append(self._stock.results[task.id])
            if checked is not None and checked.foreign is not None:
                inputs[task.request.input_digest] = checked.foreign
        self._parts.storer.store(ready, inputs)

    def _fetch(self, actions: Iterable[Action], now: float) -> None:
        tasks = [self._parts.view.tasks[action.task_id] for action in actions]
        for task in tasks:
            artefact = self._stock.of(task.id)
            artefact.input, artefact.fetch_started_at = Input.FETCHING, now
        self._parts.fetcher.fetch(tasks)

    def _run(self, actions: Iterable[Action], clock: Clock) -> None:
        jobs = []
        made = self._parts.database.results([action.task_id for action in actions])
        for action in actions:
            task, artefact = self._parts.view.tasks[action.task_id], self._stock.of(action.task_id)
            if task.id in made:
                # A reorganisation took the task away and brought it back. The post of then may be mined again, and what
                # is shown when it is called for must be what was posted: nothing is made twice.
                self._stock.take_up(task, made[task.id])
                continue
            artefact.stage = Stage.QUEUED
            jobs.append(
                Job(
                    task_id=task.id,
                    model=self._parts.models[task.request.model_id],
                    checked=self._stock.checked[task.id],
                    lease_end=clock.wall_secs + task.lease_end(self._parts.view.me) - clock.chain_secs,
                    attempts=artefact.attempts,
                )
            )
        if jobs:
            with step(Step.RUN):
                self._parts.host.submit(jobs)


def _generated(result: Result) -> Reason:
    secs = (result.finished_ms - result.started_ms) / 1000
    return Reason(
        "RUN-002", f"{result.output_tokens} tokens in {shown_secs(secs)} with {result.strategy}: {result.why}"
    )
