"""Other workers, requesters, challengers and the arbiter: what they may do to a task, each in its own way."""

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.lifecycle import SeatState, TaskState
from tests.contracts.law.disputes import Market
from tests.worker.lawful import ARBITER
from worker.artefacts import Call
from worker.task import Seat, Task

if TYPE_CHECKING:
    from tests.worker.world import World

STRANGERS = tuple("0x" + digit * 40 for digit in "3456")
SOUND, WRONG, NEVER_COMMITS, NEVER_REVEALS = "sound", "wrong", "never commits", "never reveals"
WAYS = (SOUND, SOUND, SOUND, SOUND, WRONG, NEVER_COMMITS, NEVER_REVEALS)
ANYBODYS = (Call.OPEN_REVEAL, Call.CLOSE_ROUND, Call.EXPIRE, Call.SETTLE, Call.TIMEOUT)


@dataclass(slots=True)
class Strangers:
    """`meddling` is how often one of them turns to a task of a single worker, `working` to one of replicas."""

    draw: random.Random
    meddling: float = 0.1
    working: float = 0.6
    ways: dict[tuple[bytes, str], str] = field(default_factory=dict)

    def meddle(self, world: "World", task: Task) -> None:
        if task.terminal or self.draw.random() > (self.working if task.replicated else self.meddling):
            return
        who = self.draw.choice(STRANGERS)
        if task.state in {TaskState.POSTED, TaskState.DISPUTED}:
            self._doubt(world, task, who)
        elif self.draw.random() < 0.05:
            world.attempt_move(task.id, lambda book: book.cancel(task.id, ()))
        elif self.draw.random() < 0.05:
            world.attempt(task.id, self.draw.choice(ANYBODYS), who)
        elif task.replicated and task.seat_of(who) is not None:
            self._work(world, task, who)
        else:
            world.attempt(task.id, Call.CLAIM, who)

    def _work(self, world: "World", task: Task, who: str) -> None:
        """The next step of a replica."""
        way = self.ways.setdefault((task.id, who), self.draw.choice(WAYS))
        seat = task.seat_of(who)
        assert isinstance(seat, Seat)
        if seat.state is SeatState.LEASED and self.draw.random() < 0.05:
            world.attempt(task.id, Call.RELEASE, who)
        elif seat.state is SeatState.LEASED and way != NEVER_COMMITS:
            world.attempt(task.id, Call.COMMIT, who)
        elif seat.state is SeatState.COMMITTED and way != NEVER_REVEALS:
            world.attempt(task.id, Call.REVEAL, who, verdict=way.encode())

    def _doubt(self, world: "World", task: Task, who: str) -> None:
        roll = self.draw.random()
        if roll < 0.3:
            leaf = self.draw.randrange(4)
            world.attempt_move(task.id, lambda book: book.demand(who, task.id, leaf, 0))
        elif roll < 0.5:
            world.attempt_move(task.id, lambda book: book.challenge(who, task.id, 0))
        elif roll < 0.53:
            is_faulty = self.draw.random() < 0.5
            world.attempt_move(task.id, lambda book: _rule(book, task.id, is_faulty=is_faulty))
        elif roll < 0.6:
            world.attempt(task.id, self.draw.choice(ANYBODYS), who)


def _rule(book: Market, task_id: bytes, *, is_faulty: bool) -> None:
    book.rule(ARBITER, task_id, is_faulty)
