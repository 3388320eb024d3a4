"""Following one task: a status each time something about it changes."""

import time
from collections.abc import Iterator

from protocol.errors import NotYet
from protocol.lifecycle import Standing
from wallet.desk import Desk, clock
from wallet.tasks import TaskStatus, status

POLL_SECS = 0.5
_DEAD_ENDS = (Standing.EXPIRED, Standing.SETTLED, Standing.REFUNDED)


class StillWaiting(NotYet):
    """The time given to waiting is over; the task goes on."""

    def __init__(self, shown: TaskStatus, waited_secs: float) -> None:
        super().__init__(
            "WATCH-001",
            "task",
            shown.task.task_id,
            f"still {shown.words()} after {waited_secs:.0f} s; 'quern watch' goes on waiting",
        )


def watch(
    desk: Desk, task_id: bytes, *, to_the_end: bool = False, timeout_secs: float | None = None
) -> Iterator[TaskStatus]:
    """Ends with the status that has an answer or cannot get one; with `to_the_end`, once money has moved.

    Raises UnknownTask, and StillWaiting when `timeout_secs` are over.
    """
    started = time.monotonic()
    last: TaskStatus | None = None
    while True:
        snapshot = desk.read()
        shown = status(snapshot.market, snapshot.task(task_id), clock(snapshot.head), desk.order)
        if last is None or _told(shown) != _told(last):
            yield shown
        last = shown
        if shown.standing in _DEAD_ENDS or (shown.is_answered and not to_the_end):
            return
        waited_secs = time.monotonic() - started
        if timeout_secs is not None and waited_secs >= timeout_secs:
            raise StillWaiting(shown, waited_secs)
        time.sleep(POLL_SECS)


def _told(shown: TaskStatus) -> tuple[str, str, int]:
    return shown.words(), shown.task.worker, shown.task.tip_units
