"""The chain as this worker sees it: tasks derived from events, and the three lists `decide` walks."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from protocol import lifecycle
from protocol.domain import UNIT_WEI
from protocol.lifecycle import TaskState
from protocol.priority import priority
from protocol.request import Request

_Rank = tuple[int, bytes]


@dataclass(slots=True)
class Task:
    """One task. `until` ends the lease while Leased, the challenge window while Posted; times are chain seconds.

    `mine` holds from this worker's claim on, also when the lease was lost; `held_before` from the loss on.
    """

    id: bytes
    request: Request
    priced_at: int
    tip_units: int
    submitted_block: int
    submitted_at: int
    state: TaskState = TaskState.OPEN
    holder: str = ""
    until: int = 0
    output_tokens: int = 0
    root: bytes = b""
    claimed_block: int = 0
    claimed_at: int = 0
    posted_block: int = 0
    posted_at: int = 0
    ended_at: int = 0
    paid_units: int = 0
    refunded_units: int = 0
    burned_units: int = 0
    mine: bool = False
    held_before: bool = False

    @property
    def terminal(self) -> bool:
        return self.state in {TaskState.SETTLED, TaskState.REFUNDED}


@dataclass(slots=True)
class View:
    """All live tasks. `me` is the worker's EIP-55 address; balances are in units, as last read from the market."""

    me: str
    age_rate_wei: int
    free_units: int = 0
    locked_units: int = 0
    base_fee_wei: int = 0
    tasks: dict[bytes, Task] = field(default_factory=dict)
    announced_store: str = ""
    _changed: dict[bytes, Task] = field(default_factory=dict)
    _queue: list[_Rank] = field(default_factory=list)
    _aside: set[bytes] = field(default_factory=set)
    _held: dict[bytes, Task] = field(default_factory=dict)
    _posted: dict[bytes, Task] = field(default_factory=dict)
    _foreign: list[tuple[int, bytes]] = field(default_factory=list)

    def held(self) -> Iterable[Task]:
        """Tasks this worker has leased, oldest claim first."""
        return self._held.values()

    def posted(self) -> Iterable[Task]:
        """Tasks this worker has posted; windows are equally long, so the earliest end comes first."""
        return self._posted.values()

    def claimable(self) -> Iterator[Task]:
        """Open tasks and lapsed leases of others, best priority first."""
        return (self.tasks[task_id] for _, task_id in self._queue)

    def open_count(self) -> int:
        return len(self._queue)

    def load(self, tasks: Iterable[Task], aside: Iterable[bytes]) -> None:
        """Start from rows saved earlier; `aside` are those declined for good."""
        self._aside.update(aside)
        for task in tasks:
            self.tasks[task.id] = task
            self._place(task)

    def reset(self) -> None:
        """Back to knowing nothing of the chain; what was declined stays declined."""
        for known in (self.tasks, self._changed, self._queue, self._held, self._posted, self._foreign):
            known.clear()

    def set_aside(self, task_id: bytes) -> None:
        """A declined task is looked at no more."""
        self._aside.add(task_id)
        if task_id in self.tasks:
            self._unqueue(self.tasks[task_id])

    def advance(self, chain_secs: int) -> None:
        """Leases of others that have lapsed may be claimed."""
        while self._foreign and self._foreign[0][0] < chain_secs:
            until, task_id = heapq.heappop(self._foreign)
            task = self.tasks.get(task_id)
            if task is not None and task.state is TaskState.LEASED and task.until == until:
                self._enqueue(task)

    def apply(self, event: lifecycle.Event) -> None:
        """Bring one task up to date. Events of tasks that ended long ago change nothing."""
        if isinstance(event, lifecycle.TaskSubmitted):
            task = Task(
                event.task_id,
                event.request,
                event.priced_at,
                event.request.tip_units,
                event.at.block_number,
                event.at.timestamp,
            )
            self.tasks[task.id] = task
        elif isinstance(event, _TASK_EVENTS):
            known = self.tasks.get(event.task_id)
            if known is None:
                return
            task = known
            self._remove(task)
            self._update(task, event)
        else:
            self._apply_announcement(event)
            return
        self._place(task)
        self._changed[task.id] = task

    def take_changed(self) -> list[Task]:
        """Tasks changed since the last call."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    def drop_ended(self) -> None:
        """Forget terminal tasks; the database keeps them."""
        for task in [task for task in self.tasks.values() if task.terminal]:
            if task.id not in self._changed:
                del self.tasks[task.id]
                self._aside.discard(task.id)

    def _apply_announcement(self, event: lifecycle.Event) -> None:
        if isinstance(event, lifecycle.StoreAnnounced) and event.worker == self.me:
            self.announced_store = event.uri

    def _update(self, task: Task, event: lifecycle.Event) -> None:
        match event:
            case lifecycle.PriorityRaised():
                task.tip_units, task.priced_at = event.tip_units, event.priced_at
            case lifecycle.TaskClaimed():
                task.state, task.holder, task.until = TaskState.LEASED, event.worker, event.until
                task.claimed_block, task.claimed_at = event.at.block_number, event.at.timestamp
                task.mine = task.mine or event.worker == self.me
            case lifecycle.LeaseLapsed() | lifecycle.LeaseReleased():
                task.state, task.holder, task.until = TaskState.OPEN, "", 0
                if event.worker == self.me:
                    task.held_before = True
                    task.burned_units += event.burned_units
            case lifecycle.ResultPosted():
                task.state, task.until = TaskState.POSTED, event.window_end
                task.root, task.output_tokens = event.root, event.output_tokens
                task.posted_block, task.posted_at = event.at.block_number, event.at.timestamp
            case lifecycle.TaskSettled():
                task.state, task.ended_at = TaskState.SETTLED, event.at.timestamp
                task.paid_units, task.refunded_units = event.paid_units, event.refunded_units
            case lifecycle.TaskRefunded():
                task.state, task.ended_at = TaskState.REFUNDED, event.at.timestamp
                task.refunded_units = event.refunded_units
            case _:
                pass

    def _place(self, task: Task) -> None:
        if task.state is TaskState.OPEN:
            self._enqueue(task)
        elif task.state is TaskState.LEASED:
            if task.holder == self.me:
                self._held[task.id] = task
            else:
                heapq.heappush(self._foreign, (task.until, task.id))
        elif task.state is TaskState.POSTED and task.holder == self.me:
            self._posted[task.id] = task

    def _remove(self, task: Task) -> None:
        self._unqueue(task)
        self._held.pop(task.id, None)
        self._posted.pop(task.id, None)

    def _rank(self, task: Task) -> _Rank:
        """All priorities grow alike with time, so the order at time 0 is the order at any time."""
        price = priority(
            task.tip_units * UNIT_WEI,
            max(1, task.request.replicas),
            max(1, task.request.max_output_tokens),
            0,
            0,
            0,
        )
        return self.age_rate_wei * task.priced_at - price, task.id

    def _enqueue(self, task: Task) -> None:
        if task.id not in self._aside:
            insort(self._queue, self._rank(task))

    def _unqueue(self, task: Task) -> None:
        rank = self._rank(task)
        at = bisect_left(self._queue, rank)
        if at < len(self._queue) and self._queue[at] == rank:
            del self._queue[at]


_TASK_EVENTS = (
    lifecycle.PriorityRaised,
    lifecycle.TaskClaimed,
    lifecycle.LeaseLapsed,
    lifecycle.LeaseReleased,
    lifecycle.ResultPosted,
    lifecycle.TaskSettled,
    lifecycle.TaskRefunded,
)
