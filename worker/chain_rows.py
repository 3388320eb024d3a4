"""What the chain says, as rows: tasks, the trail of blocks, and what orphaned blocks would take back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

from chain.follower import Cursor
from protocol.lifecycle import SeatState, TaskState
from protocol.receipt import Receipt
from protocol.request import Request
from worker.schema import REQUEST_FIELDS, TASK_FIELDS
from worker.sqlite import SqliteFile
from worker.steps import Step
from worker.task import OpenDemand, Seat, Task

KEPT_BLOCKS = 256
"""How deep a reorganisation may be for only its own blocks to be undone; a deeper one means reading all again."""
_REQUEST = ", ".join(f"request_{field}" for field in REQUEST_FIELDS)
_UPDATE = f"UPDATE task SET {', '.join(f'{field} = ?' for field in TASK_FIELDS)} WHERE id = ?"  # noqa: S608
# What never changes of a task is not kept twice.
_KEEP = f"""
    INSERT OR IGNORE INTO undo SELECT ?1, ?2, {", ".join(f"task.{field}" for field in TASK_FIELDS)}
    FROM (SELECT 1) LEFT JOIN task ON task.id = ?2
"""  # noqa: S608 only our own names go in
_KEPT = f"""
    SELECT undo.state IS NOT NULL, id, {_REQUEST}, {", ".join(f"undo.{field}" for field in TASK_FIELDS)}
    FROM undo JOIN task ON id = task_id WHERE block > ? ORDER BY block
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Undone:
    """What a reorganisation put back: tasks as they were before the orphaned blocks, and tasks that are no more."""

    restored: tuple[Task, ...]
    gone: tuple[bytes, ...]


class ChainRows(SqliteFile):
    """All of it can be read again from the chain."""

    def trail(self) -> list[Cursor]:
        """The latest blocks taken in, newest first: enough to find where a reorganised chain parted."""
        rows = self._all("SELECT number, hash FROM trail ORDER BY number DESC", ())
        return [Cursor(row[0], row[1]) for row in rows]

    def block_taken_in(self) -> int:
        """Number of the newest; -1 at the very beginning."""
        row = self._one("SELECT COALESCE(MAX(number), -1) FROM trail", ())
        assert row is not None
        return int(row[0])

    def set_cursor(self, cursor: Cursor, marks: Sequence[Cursor] = ()) -> None:
        """`marks` are the blocks right before it."""
        self._run_many(
            "INSERT OR REPLACE INTO trail VALUES (?, ?)",
            [(each.number, each.hash) for each in (*marks, cursor)],
        )
        self._run("DELETE FROM trail WHERE number < ?", (cursor.number - KEPT_BLOCKS,))
        self._run("DELETE FROM undo WHERE block <= ?", (cursor.number - KEPT_BLOCKS,))

    def save_tasks(self, tasks: Sequence[Task], undo_block: int | None = None) -> None:
        """As they are after a block; given as `undo_block`, what was here before can be had again by `rewind`."""
        fresh: Sequence[Task] = tasks
        if undo_block is not None:
            self._run_many(_KEEP, [(undo_block, task.id) for task in tasks])
            # Those that were submitted earlier are here: what never changes of them is not written again.
            fresh = [task for task in tasks if task.submitted_block == undo_block]
            known = [task for task in tasks if task.submitted_block != undo_block]
            self._run_many(_UPDATE, ((*_task_values(task), task.id) for task in known))
        marks = ", ".join("?" * (1 + len(REQUEST_FIELDS) + len(TASK_FIELDS)))
        self._run_many(f"INSERT OR REPLACE INTO task VALUES ({marks})", map(_task_row, fresh))  # noqa: S608

    def rewind(self, to_block: int) -> Undone | None:
        """Undo what the blocks after `to_block` changed; None, and nothing undone, where that is too long ago."""
        with self.transaction(Step.REWIND):
            if self._one("SELECT 1 FROM trail WHERE number = ?", (to_block,)) is None:
                return None
            restored: dict[bytes, Task | None] = {}
            for was_there, *row in self._all(_KEPT, (to_block,)):
                restored.setdefault(row[0], _read_task(row) if was_there else None)
            tasks = tuple(task for task in restored.values() if task is not None)
            gone = tuple(task_id for task_id, task in restored.items() if task is None)
            self.save_tasks(tasks)
            self._run_many("DELETE FROM task WHERE id = ?", [(task_id,) for task_id in gone])
            self._run("DELETE FROM undo WHERE block > ?", (to_block,))
            self._run("DELETE FROM trail WHERE number > ?", (to_block,))
            return Undone(tasks, gone)

    def live_tasks(self) -> list[Task]:
        """Every task that has not ended."""
        ended = (int(TaskState.SETTLED), int(TaskState.REFUNDED))
        return [_read_task(row) for row in self._all("SELECT * FROM task WHERE state NOT IN (?, ?)", ended)]

    def task(self, task_id: bytes) -> Task | None:
        row = self._one("SELECT * FROM task WHERE id = ?", (task_id,))
        return None if row is None else _read_task(row)

    def batch(self, root: bytes) -> list[Receipt]:
        """What this worker posted under that root, in the order of the tree's leaves."""
        rows = self._all(
            "SELECT id, body, output_tokens FROM task WHERE mine AND root = ? ORDER BY posted_place", (root,)
        )
        return [Receipt(*row) for row in rows]

    def known_tasks(self) -> tuple[bytes, ...]:
        """Ids of all."""
        return tuple(row[0] for row in self._all("SELECT id FROM task ORDER BY id", ()))

    def my_tasks(self) -> list[Task]:
        """Every task this worker ever claimed, by block."""
        return [
            _read_task(row) for row in self._all("SELECT * FROM task WHERE mine ORDER BY claimed_block", ())
        ]

    def forget_chain(self) -> None:
        """Drop everything derived from events, to be replayed from the market's first block."""
        with self.transaction(Step.REWIND):
            for table in ("task", "trail", "undo"):
                self._run(f"DELETE FROM {table}", ())  # noqa: S608 our own words


_REQUEST_VALUES, _TASK_VALUES = attrgetter(*REQUEST_FIELDS), attrgetter(*TASK_FIELDS)
_URI, _SEATS, _DEMANDS = (
    REQUEST_FIELDS.index("input_uri"),
    TASK_FIELDS.index("seats"),
    TASK_FIELDS.index("demands"),
)


def _task_row(task: Task) -> tuple[object, ...]:
    request = list(_REQUEST_VALUES(task.request))
    # A requester may put any bytes on chain, and SQLite takes no text that is not UTF-8.
    request[_URI] = task.request.input_uri.encode("utf-8", "surrogateescape")
    return (task.id, *request, *_task_values(task))


def _task_values(task: Task) -> list[object]:
    """In the order of TASK_FIELDS."""
    values = list(_TASK_VALUES(task))
    values[_SEATS] = _seats_text(task.seats) if task.seats else ""
    values[_DEMANDS] = _demands_text(task.demands) if task.demands else ""
    return values


def _seats_text(seats: Sequence[Seat]) -> str:
    return json.dumps([[seat.worker, seat.state, seat.until, seat.verdict.hex()] for seat in seats])


def _demands_text(demands: Sequence[OpenDemand]) -> str:
    return json.dumps([[demand.leaf, demand.until] for demand in demands])


def _read_task(row: Sequence[object]) -> Task:
    split = 1 + len(REQUEST_FIELDS)
    fields: dict[str, Any] = dict(zip(REQUEST_FIELDS, row[1:split], strict=True))
    fields["input_uri"] = fields["input_uri"].decode("utf-8", "surrogateescape")
    values: dict[str, Any] = dict(zip(TASK_FIELDS, row[split:], strict=True))
    values["state"] = TaskState(values["state"])
    values["mine"], values["held_before"] = bool(values["mine"]), bool(values["held_before"])
    values["seats"] = _read_seats(values["seats"]) if values["seats"] else ()
    values["demands"] = _read_demands(values["demands"]) if values["demands"] else ()
    return Task(cast("bytes", row[0]), Request(**fields), **values)


def _read_seats(text: str) -> tuple[Seat, ...]:
    return tuple(
        Seat(worker, SeatState(state), until, bytes.fromhex(verdict))
        for worker, state, until, verdict in json.loads(text)
    )


def _read_demands(text: str) -> tuple[OpenDemand, ...]:
    return tuple(OpenDemand(*demand) for demand in json.loads(text))
