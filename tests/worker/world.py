"""A market with other workers in it for `decide` to be played against: each of its actions is put to the law at the
moment it is asked for, and then carried out as the reconciler would.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from protocol.lifecycle import Event
from protocol.request import Request
from tests.contracts.law.book import Refused
from tests.worker.lawful import REQUESTER, Chain, Mark, move_of
from tests.worker.makers import ME, POLICY, request
from tests.worker.strangers import STRANGERS, Strangers
from tests.worker.workplace import OWN_ENDS, Workplace
from worker.actions import Act, Action
from worker.artefacts import Artefact, Call, Input, Stage
from worker.decide import decide
from worker.outbox_rows import Sending
from worker.policy import Clock, Policy
from worker.stock import Stock
from worker.task import Task

CALLS = {
    Act.CLAIM: Call.CLAIM,
    Act.POST: Call.POST,
    Act.SETTLE: Call.SETTLE,
    Act.RELEASE: Call.RELEASE,
    Act.COMMIT: Call.COMMIT,
    Act.OPEN_REVEAL: Call.OPEN_REVEAL,
    Act.REVEAL: Call.REVEAL,
    Act.CLOSE_ROUND: Call.CLOSE_ROUND,
    Act.TIMEOUT: Call.TIMEOUT,
    Act.EXPIRE: Call.EXPIRE,
}
SHOWING = frozenset({Act.POST, Act.COMMIT, Act.PUBLISH, Act.REVEAL})
"""What cannot be done without the result at hand."""


@dataclass(slots=True)
class Sent:
    """A transaction of the worker, mined in the order of `nonce`, in `block` unless that is 0. It is open until its
    outcome is taken in.

    `is_forgotten`: the worker has done with it, by its outcome or because the lease it was for is gone. It may be mined
    all the same: again after a reorganisation.
    """

    nonce: int
    call: Call
    task_id: bytes
    leaf: int | None = None
    block: int = 0
    is_forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """A moment that a reorganisation may bring back; `closed` are transactions mined since whose outcome is known."""

    chain: Mark
    tasks: dict[bytes, Task]
    closed: list[Sent] = field(default_factory=list)


@dataclass
class World(Workplace):
    """A market with this worker among others. One of `leaps` is how many seconds pass in a step; `crashes` and
    `reorganisations` are how often there is one.
    """

    policy: Policy = POLICY
    leaps: tuple[int, ...] = (1,)
    crashes: float = 0.0
    reorganisations: float = 0.0
    strangers: Strangers | None = None
    chain: Chain = field(default_factory=Chain)
    sent: list[Sent] = field(default_factory=list)
    nonce: int = 0
    lost_requests: dict[bytes, Request] = field(default_factory=dict)
    past: Past | None = None

    def __post_init__(self) -> None:
        self.chain.fund(ME, 30_000_000)
        for who in (REQUESTER, *STRANGERS):
            self.chain.fund(who, 10**12)
        self._catch_up()

    def submit(self, number: int, **changes: object) -> None:
        """Unless the market refuses it."""
        self._submit(number.to_bytes(32, "big"), request(salt=number.to_bytes(32, "big"), **changes))

    def step(self) -> list[Action]:
        """One round of the worker, then one of everybody else."""
        self.chain.now = self.now
        self.view.advance(self.now)
        clock = Clock(self.now, float(self.now))
        actions = list(decide(self.view, self.artefacts, clock, self.policy))
        assert list(decide(self.view, self.artefacts, clock, self.policy)) == actions
        self._check(actions)
        for action in actions:
            self._carry_out(action)
        self._others()
        self.chain.agrees_with(self.view)
        self.now += self.draw.choice(self.leaps)
        return actions

    def attempt(self, task_id: bytes, call: Call, who: str, **more: Any) -> bool:
        """Somebody's call, which the market may refuse."""
        return self.attempt_move(task_id, move_of(call, who, task_id, **more))

    def attempt_move(self, task_id: bytes, move: Any) -> bool:
        try:
            events = self.chain.do(task_id, move)
        except Refused:
            return False
        self._tell(events)
        return True

    # ---- the law

    def _check(self, actions: list[Action]) -> None:
        ids = [action.task_id for action in actions if action.task_id]
        assert len(ids) == len(set(ids)), "two actions on one task"
        bonds = 0
        for action in actions:
            task, artefact = self.view.tasks[action.task_id], self.artefacts.get(action.task_id, Artefact())
            if action.act in CALLS:
                call = CALLS[action.act]
                assert artefact.under_way is None, f"{action.act} while {artefact.under_way} is under way"
                assert not self._is_open(call, task.id, None), f"{action.act} twice"
                refusal = self.chain.why_not(task.id, move_of(call, ME, task.id))
                assert not refusal, f"{action.act}, which the market refuses for {refusal}: {task}"
            if action.act in SHOWING:
                assert task.id in self.stock.results, f"{action.act} of what is not at hand"
            for leaf in action.leaves:
                assert not self._is_open(Call.ANSWER, task.id, leaf), "a leaf shown twice"
                assert not self.chain.why_not(task.id, move_of(Call.ANSWER, ME, task.id, leaf))
                assert task.id in self.disk.results_by_task
            if action.act is Act.CLAIM:
                bonds += task.request.bond_units * self.policy.bond_unit_units
                assert not task.held_before, "claimed after it was lost"
                assert artefact.input is Input.READY
            if action.act is Act.RUN:
                assert task.id in self.stock.checked or task.id in self.disk.results_by_task
        assert bonds <= self.view.free_units, "bonds that the balance does not cover"

    def _is_open(self, call: Call, task_id: bytes, leaf: int | None) -> bool:
        return any(
            (each.call, each.task_id, each.leaf) == (call, task_id, leaf) and not each.is_forgotten
            for each in self.sent
        )

    def _open(self) -> list[Sending]:
        return [
            Sending("", each.call, (each.task_id,), None, each.leaf)
            for each in self.sent
            if not each.is_forgotten
        ]

    # ---- the worker's hands

    def _carry_out(self, action: Action) -> None:
        task_id = action.task_id
        artefact = self.stock.of(task_id)
        match action.act:
            case Act.FETCH:
                artefact.input, artefact.fetch_started_at = Input.FETCHING, float(self.now)
            case Act.DECLINE:
                assert action.reason is not None
                artefact.declined = self.disk.declined_by_task[task_id] = action.reason
                self.stock.checked.pop(task_id, None)
                self.view.set_aside(task_id)
            case Act.RUN if task_id in self.disk.results_by_task:
                self.stock.take_up(self.view.tasks[task_id], cast("Any", b"result"))
            case Act.RUN:
                artefact.stage = Stage.QUEUED
            case Act.PERSIST:
                self.persist(self.view.tasks[task_id])
            case Act.PUBLISH:
                artefact.stage = Stage.STORING
            case Act.ALERT:
                artefact.alerted = True
            case Act.ANSWER:
                artefact.answering |= set(action.leaves)
                for leaf in action.leaves:
                    self._send(Call.ANSWER, task_id, leaf)
            case _:
                artefact.under_way = CALLS[action.act]
                self._send(artefact.under_way, task_id, None)

    def _send(self, call: Call, task_id: bytes, leaf: int | None) -> None:
        self.nonce += 1
        self.sent.append(Sent(self.nonce, call, task_id, leaf))

    # ---- everybody else

    def _others(self) -> None:
        for task_id, artefact in list(self.artefacts.items()):
            self.go_on(task_id, artefact)
        for each in list(self.sent):
            if not self.well():
                break
            self._move_on(each)
        if self.strangers is not None:
            for task in list(self.view.tasks.values()):
                self.strangers.meddle(self, task)
        for task_id in list(self.lost_requests):
            if self.draw.random() < 0.5:
                self._submit(task_id, self.lost_requests.pop(task_id))
        if self.past is None and self.draw.random() < self.reorganisations:
            tasks = {task_id: replace(task) for task_id, task in self.view.tasks.items()}
            self.past = Past(self.chain.mark(), tasks)
        elif self.past is not None and self.draw.random() < 0.3:
            self._reorganise(self.past)
        if self.draw.random() < self.crashes:
            self._crash()

    def _move_on(self, each: Sent) -> None:
        """A transaction is mined, or found to change nothing; once that is known it is no more under way."""
        refused = False
        if not each.block:
            leaf = {} if each.leaf is None else {"leaf": each.leaf}
            known = self.chain.task(each.task_id) is not None
            refused = not known or not self.attempt(each.task_id, each.call, ME, **leaf)
            each.block = 0 if refused else self.chain.block
            self.reached[each.call.value] += not refused
            if not refused and self.draw.random() < 0.5:
                return
        self.sent.remove(each)
        if self.past is not None and each.block > self.past.chain.block:
            self.past.closed.append(replace(each, block=0, is_forgotten=True))
        artefact = self.artefacts.get(each.task_id)
        if artefact is None or each.is_forgotten:
            return
        if each.leaf is not None:
            artefact.answering.discard(each.leaf)
        elif artefact.under_way is each.call:
            artefact.under_way = None
            if refused and each.task_id in self.view.tasks:
                artefact.retry_at = self.now + 1.0
                artefact.given_up = each.call is Call.POST and self.view.tasks[each.task_id].held_by(ME)

    def _submit(self, task_id: bytes, asked: Request) -> None:
        self.chain.now = self.now
        try:
            self._tell(self.chain.submit(task_id, asked))
        except Refused:
            return

    # ---- faults

    def _crash(self) -> None:
        """The process ends and another takes up what is on disk."""
        self.reached["crash"] += 1
        self.stock = Stock()
        self.stock.recover(cast("Any", self.disk), self.view, self._open())

    def _reorganise(self, past: Past) -> None:
        """Blocks are orphaned: what they held of the worker's transactions waits to be mined again."""
        self.reached["reorganisation"] += 1
        self.past = None
        self.lost_requests |= self.chain.go_back(past.chain)
        restored = [task for task_id, task in past.tasks.items() if self.view.tasks[task_id] != task]
        gone = [task_id for task_id in self.view.tasks if task_id not in past.tasks]
        self.view.put_back(restored, gone)
        self._catch_up()
        for task_id in gone:
            self.stock.forget(task_id)
        worked_on = [task for task in restored if task.mine or task.id in self.artefacts]
        results = self.disk.results([task.id for task in worked_on])
        self.stock.rewound(worked_on, cast("Any", results))
        touched = {*gone, *(task.id for task in restored)}
        for sending in self._open():
            self.stock.wait_for(sending, touched.intersection(sending.task_ids))
        for each in self.sent:
            each.block = 0 if each.block > past.chain.block else each.block
        self.sent = sorted([*past.closed, *self.sent], key=lambda each: each.nonce)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self.view.apply(event)
            self.react(event)
            self.count(event)
            if isinstance(event, OWN_ENDS) and event.worker == ME:
                for each in self.sent:
                    each.is_forgotten = each.is_forgotten or each.task_id == event.task_id
        self._catch_up()

    def _catch_up(self) -> None:
        self.view.free_units = self.chain.free_units(ME)
        self.view.locked_units = self.chain.locked_units(ME)

    def lapse_demands(self) -> None:
        """What was called for and not shown in time ends the task, whoever says so."""
        for task in list(self.view.tasks.values()):
            for each in task.demands:
                if not task.terminal and self.now > each.until:
                    self.chain.now = self.now
                    self.attempt_move(
                        task.id, lambda book, one=task.id, leaf=each.leaf: book.lapse_demand(one, leaf)
                    )
