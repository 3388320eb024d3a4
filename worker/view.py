"""The chain as this worker sees it: all live tasks, and the lists of them that `decide` walks."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from protocol import lifecycle
from protocol.domain import UNIT_WEI
from protocol.lifecycle import TaskState
from protocol.priority import priority
from worker.task import Task, update

_Rank = tuple[int, bytes]


@dataclass(slots=True)
class View:
    """All live tasks. `me` is the worker's EIP-55 address; balances are in units, as last read from the market, of
    `unit` of the currency's smallest parts each.
    """

    me: str
    age_rate_wei: int
    unit: int = UNIT_WEI
    free_units: int = 0
    locked_units: int = 0
    base_fee_wei: int = 0
    tasks: dict[bytes, Task] = field(default_factory=dict)
    announced_store: str = ""
    _changed: dict[bytes, Task] = field(default_factory=dict)
    _queue: list[_Rank] = field(default_factory=list)
    _ranks: dict[bytes, _Rank] = field(default_factory=dict)
    _aside: set[bytes] = field(default_factory=set)
    _held: dict[bytes, Task] = field(default_factory=dict)
    _rounds: dict[bytes, Task] = field(default_factory=dict)
    _posted: dict[bytes, Task] = field(default_factory=dict)
    _disputed: dict[bytes, Task] = field(default_factory=dict)
    _demanded: dict[bytes, Task] = field(default_factory=dict)
    _won: dict[bytes, Task] = field(default_factory=dict)
    _foreign: list[tuple[int, bytes]] = field(default_factory=list)

    def held(self) -> Iterable[Task]:
        """Tasks this worker has leased and neither posted nor committed to, oldest claim first."""
        return self._held.values()

    def rounds(self) -> Iterable[Task]:
        """Replicated tasks this worker has committed to, until their round is closed."""
        return self._rounds.values()

    def posted(self) -> Iterable[Task]:
        """Tasks this worker answers for; windows are equally long, so the earliest end comes first."""
        return self._posted.values()

    def disputed(self) -> Iterable[Task]:
        """The same under a challenge."""
        return self._disputed.values()

    def won(self) -> Iterable[Task]:
        """Of posted and disputed ones those of several replicas."""
        return self._won.values()

    def demanded(self) -> Iterable[Task]:
        """Tasks this worker answers for of which somebody calls for leaves."""
        return self._demanded.values()

    def owed(self) -> Iterator[tuple[Task, int]]:
        """Results this worker must still show or reveal if asked to, and until when at most."""
        for task in (*self._posted.values(), *self._disputed.values()):
            yield task, max([task.until, *(demand.until for demand in task.demands)])
        for task in self._rounds.values():
            yield task, task.until or task.request.deadline

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

    def put_back(self, tasks: Iterable[Task], gone: Iterable[bytes]) -> None:
        """After a reorganisation: `tasks` are as they were, those that are `gone` were never submitted."""
        for task_id in gone:
            self._take_out(task_id)
        # The earliest end comes first among the posted.
        for task in sorted(tasks, key=lambda task: task.until):
            self._take_out(task.id)
            self.tasks[task.id] = task
            self._place(task)

    def _take_out(self, task_id: bytes) -> None:
        known = self.tasks.pop(task_id, None)
        if known is not None:
            self._remove(known)

    def reset(self) -> None:
        """Back to knowing nothing of the chain; what was declined stays declined."""
        self._queue.clear()
        self._ranks.clear()
        self._foreign.clear()
        for known in (self.tasks, self._changed, *self._lists):
            known.clear()

    def set_aside(self, task_id: bytes) -> None:
        """A declined task is looked at no more."""
        self._aside.add(task_id)
        self._unqueue(task_id)

    def advance(self, chain_secs: int) -> None:
        """Leases of others that have lapsed may be claimed."""
        while self._foreign and self._foreign[0][0] < chain_secs:
            until, task_id = heapq.heappop(self._foreign)
            task = self.tasks.get(task_id)
            if task is not None and task.claimable_from(self.me) == until:
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
            update(task, event, self.me)
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

    @property
    def _lists(self) -> tuple[dict[bytes, Task], ...]:
        return self._held, self._rounds, self._posted, self._disputed, self._demanded, self._won

    def _place(self, task: Task) -> None:
        since = task.claimable_from(self.me)
        if since == 0:
            self._enqueue(task)
        elif since is not None:
            heapq.heappush(self._foreign, (since, task.id))
        if not task.mine:
            return
        if task.held_by(self.me):
            self._held[task.id] = task
        elif task.in_round(self.me):
            self._rounds[task.id] = task
        elif task.answered_for_by(self.me):
            (self._posted if task.state is TaskState.POSTED else self._disputed)[task.id] = task
            if task.demands:
                self._demanded[task.id] = task
            if task.replicated:
                self._won[task.id] = task

    def _remove(self, task: Task) -> None:
        self._unqueue(task.id)
        if task.mine:
            for known in self._lists:
                known.pop(task.id, None)

    def _rank(self, task: Task) -> _Rank:
        """All priorities grow alike with time, so the order at time 0 is the order at any time."""
        price = priority(
            task.tip_units * self.unit,
            max(1, task.request.replicas),
            max(1, task.request.max_output_tokens),
            0,
            0,
            0,
        )
        return self.age_rate_wei * task.priced_at - price, task.id

    def _enqueue(self, task: Task) -> None:
        # Of several seats that lapsed, each says so.
        if task.id not in self._aside and task.id not in self._ranks:
            rank = self._ranks[task.id] = self._rank(task)
            insort(self._queue, rank)

    def _unqueue(self, task_id: bytes) -> None:
        rank = self._ranks.pop(task_id, None)
        if rank is not None:
            del self._queue[bisect_left(self._queue, rank)]


_TASK_EVENTS = (
    lifecycle.PriorityRaised,
    lifecycle.TaskClaimed,
    lifecycle.LeaseLapsed,
    lifecycle.LeaseReleased,
    lifecycle.ResultPosted,
    lifecycle.ResultCommitted,
    lifecycle.RevealOpened,
    lifecycle.ResultRevealed,
    lifecycle.CommitmentBurned,
    lifecycle.SeatPaid,
    lifecycle.RoundWon,
    lifecycle.LeafDemanded,
    lifecycle.LeafAnswered,
    lifecycle.DemandLapsed,
    lifecycle.DemandClosed,
    lifecycle.TaskChallenged,
    lifecycle.BondSlashed,
    lifecycle.ChallengeLost,
    lifecycle.TaskSettled,
    lifecycle.TaskRefunded,
)
