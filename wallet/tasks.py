"""Tasks as a requester looks at them: what time has made of each, its place in the queue, its money."""

from collections.abc import Sequence
from dataclasses import dataclass

from chain.journal import TxReceipt
from protocol.digest import JsonValue, to_hex
from protocol.lifecycle import (
    RefundReason,
    Standing,
    TaskRefunded,
    TaskView,
    claimable,
    derived_state,
)
from protocol.money import escrow_units
from protocol.priority import rank_key, task_priority
from protocol.replay import MarketView

_ENDED = (Standing.SETTLED, Standing.REFUNDED)
_WORDS = {
    Standing.OPEN: "open",
    Standing.LEASED: "in work",
    Standing.LAPSED: "lease lapsed",
    Standing.EXPIRED: "expired",
    Standing.REVEALABLE: "committed, reveal to be opened",
    Standing.REVEALING: "revealing",
    Standing.CLOSABLE: "revealed, to be counted",
    Standing.POSTED: "posted",
    Standing.SETTLEABLE: "posted, window over",
    Standing.DISPUTED: "disputed",
    Standing.TIMED_OUT: "disputed, arbiter silent",
    Standing.SETTLED: "settled",
    Standing.REFUNDED: "refunded",
}


@dataclass(frozen=True, slots=True)
class Order:
    """By what waiting tasks are ranked: `age_rate_wei` as the market has it, `unit` of its currency."""

    age_rate_wei: int
    unit: int


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
            phrase += f", place {self.place} of {self.waiting}"
        if self.standing is Standing.REFUNDED and self.task.refund_reason in tuple(RefundReason):
            phrase += f" ({RefundReason(self.task.refund_reason).name.lower().replace('_', ' ')})"
        return phrase + self._round_words()

    def _round_words(self) -> str:
        """How far the replicas are, and what is held against the result."""
        task = self.task
        said = []
        if task.replicated and not self.is_over:
            taken = sum(seat.bonded for seat in task.seats)
            if self.is_answered:
                said.append(f"{len(task.winners)} of {task.request.replicas} agree")
            elif taken:
                said.append(f"{taken} of {task.request.replicas} seats taken, {task.committed} committed")
        if task.open_demands and not self.is_over:
            said.append(f"{task.open_demands} demands open")
        return "".join(f", {words}" for words in said)

    def to_json(self) -> dict[str, JsonValue]:
        task, request = self.task, self.task.request
        return {
            "task": to_hex(task.task_id),
            "state": self.standing.name.lower(),
            "model": to_hex(request.model_id),
            "requester": request.requester,
            "place": self.place,
            "replicas": request.replicas,
            "worker": task.worker or None,
            "seats": [
                {
                    "worker": seat.worker,
                    "state": seat.state.name.lower(),
                    "output_tokens": seat.output_tokens,
                    "paid_units": seat.paid_units,
                }
                for seat in task.seats
            ],
            "winners": list(task.winners) if self.is_answered else [],
            "challenger": task.challenger or None,
            "faulty": task.faulty,
            "open_demands": task.open_demands,
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


def status(market: MarketView, task: TaskView, now: int, order: Order) -> TaskStatus:
    """One task with its place in line at second `now`."""
    return _placed(task, _line(market, task.request.model_id, now, order), now)


def of_requester(market: MarketView, requester: str | None, now: int, order: Order) -> tuple[TaskStatus, ...]:
    """All tasks of an address, or of all if it is None; oldest first."""
    own = [task for task in market.tasks.values() if requester in (None, task.request.requester)]
    lines = {model: _line(market, model, now, order) for model in {task.request.model_id for task in own}}
    return tuple(_placed(task, lines[task.request.model_id], now) for task in own)


def refund_units(receipt: TxReceipt) -> int:
    """What a mined `cancel` or `expire` gave back."""
    return sum(event.refunded_units for event in receipt.events if isinstance(event, TaskRefunded))


def _placed(task: TaskView, line: Sequence[bytes], now: int) -> TaskStatus:
    place = line.index(task.task_id) + 1 if task.task_id in line else 0
    return TaskStatus(task, derived_state(task, now), place, len(line))


def _line(market: MarketView, model_id: bytes, now: int, order: Order) -> list[bytes]:
    """Ids of the model's waiting tasks in the order in which workers serve."""
    waiting = [
        task for task in market.tasks.values() if task.request.model_id == model_id and claimable(task, now)
    ]

    def key(task: TaskView) -> tuple[int, bytes]:
        return rank_key(task_priority(task, now, order.age_rate_wei, order.unit), task.task_id)

    return [task.task_id for task in sorted(waiting, key=key)]
