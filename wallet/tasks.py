"""Tasks as a requester looks at them: what time has made of each, its place in the queue, its money."""

from collections.abc import Sequence
from dataclasses import dataclass

from chain.journal import TxReceipt
from protocol.digest import JsonValue, to_hex
from protocol.lifecycle import RefundReason, Standing, TaskRefunded, TaskView, derived_state
from protocol.money import escrow_units
from protocol.priority import rank_key, task_priority
from protocol.replay import MarketView

_ENDED = (Standing.SETTLED, Standing.REFUNDED)
_WORDS = {
    Standing.OPEN: "open",
    Standing.LEASED: "in work",
    Standing.LAPSED: "lease lapsed",
    Standing.EXPIRED: "expired",
    Standing.POSTED: "posted",
    Standing.SETTLEABLE: "posted, window over",
    Standing.DISPUTED: "disputed",
    Standing.SETTLED: "settled",
    Standing.REFUNDED: "refunded",
}


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """`place` counts from 1 among the waiting tasks of the model, 0 where the task does not wait."""

    task: TaskView
    standing: Standing
    place: int
    waiting: int

    @property
    def locked_units(self) -> int:
        """What the task still holds of the requester's money."""
        request = self.task.request
        if self.standing in _ENDED:
            return 0
        return escrow_units(request.max_fee_units, request.replicas, self.task.tip_units)

    @property
    def is_answered(self) -> bool:
        return self.task.posted_at > 0

    @property
    def is_over(self) -> bool:
        return self.standing in _ENDED

    def words(self) -> str:
        """One short phrase: "open, 2nd of 5 in line" and the like."""
        phrase = _WORDS[self.standing]
        if self.place:
            return f"{phrase}, place {self.place} of {self.waiting}"
        if self.standing is Standing.REFUNDED and self.task.refund_reason in tuple(RefundReason):
            return f"{phrase} ({RefundReason(self.task.refund_reason).name.lower()})"
        return phrase

    def to_json(self) -> dict[str, JsonValue]:
        task, request = self.task, self.task.request
        return {
            "task": to_hex(task.task_id),
            "state": self.standing.name.lower(),
            "model": to_hex(request.model_id),
            "requester": request.requester,
            "place": self.place,
            "worker": task.worker or None,
            "submitted_at": task.submitted_at,
            "claimed_at": task.claimed_at or None,
            "posted_at": task.posted_at or None,
            "ended_at": task.ended_at or None,
            "until": task.until or None,
            "deadline": request.deadline,
            "max_output_tokens": request.max_output_tokens,
            "output_tokens": task.output_tokens,
            "max_fee_units": request.max_fee_units,
            "tip_units": task.tip_units,
            "locked_units": self.locked_units,
            "paid_units": task.paid_units,
            "refunded_units": task.refunded_units,
        }


def status(market: MarketView, task: TaskView, now: int, age_rate_wei: int) -> TaskStatus:
    """One task with its place in line at second `now`."""
    return _placed(task, _line(market, task.request.model_id, now, age_rate_wei), now)


def of_requester(
    market: MarketView, requester: str | None, now: int, age_rate_wei: int
) -> tuple[TaskStatus, ...]:
    """All tasks of an address, or of all if it is None; oldest first."""
    own = [task for task in market.tasks.values() if requester in (None, task.request.requester)]
    lines = {
        model: _line(market, model, now, age_rate_wei) for model in {task.request.model_id for task in own}
    }
    return tuple(_placed(task, lines[task.request.model_id], now) for task in own)


def refund_units(receipt: TxReceipt) -> int:
    """What a mined `cancel` or `expire` gave back."""
    return sum(event.refunded_units for event in receipt.events if isinstance(event, TaskRefunded))


def _placed(task: TaskView, line: Sequence[bytes], now: int) -> TaskStatus:
    place = line.index(task.task_id) + 1 if task.task_id in line else 0
    return TaskStatus(task, derived_state(task, now), place, len(line))


def _line(market: MarketView, model_id: bytes, now: int, age_rate_wei: int) -> list[bytes]:
    """Ids of the model's waiting tasks in the order in which workers serve."""
    waiting = [
        task
        for task in market.tasks.values()
        if task.request.model_id == model_id and derived_state(task, now) in (Standing.OPEN, Standing.LAPSED)
    ]

    def key(task: TaskView) -> tuple[int, bytes]:
        return rank_key(task_priority(task, now, age_rate_wei), task.task_id)

    return [task.task_id for task in sorted(waiting, key=key)]
