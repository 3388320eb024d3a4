"""Replay: how a task ends, and whether what it paid was due."""

from dataclasses import replace
from functools import singledispatchmethod

from protocol.abi import ZERO_ADDRESS
from protocol.books import require
from protocol.events import Event, TaskRefunded, TaskSettled
from protocol.lifecycle import TaskView
from protocol.money import no_quorum_units, quorum, winner_units
from protocol.replay_state import ANSWERABLE, WAITING, ReplayState, escrow, escrow_left, seats_paid
from protocol.states import RefundReason, SeatState, TaskState


class EndingSteps(ReplayState):
    """Each step raises ImpossibleHistory."""

    @singledispatchmethod
    def _ending_step(self, event: Event) -> None:
        """Events of other kinds are for other steps."""

    @_ending_step.register
    def _settle(self, event: TaskSettled) -> None:
        task = self._in_state(event.task_id, *ANSWERABLE)
        ruled = task.state is TaskState.POSTED or (task.faulty is not True and not task.challenge_bond_units)
        free = ruled and not task.open_demands and task.task_id not in self._unanswered
        require(free, "settlement", event.task_id, "a demand or a dispute was still open")
        each = winner_units(self._charge(task, task.output_tokens), task.tip_units, task.request.replicas)
        if task.replicated:
            paid, worker = each * len(task.winners), ZERO_ADDRESS
            settled = all(seat.paid_units == each for seat in task.seats if seat.state is SeatState.WON)
            settled = settled and all(
                seat.paid_units == 0 for seat in task.seats if seat.state is not SeatState.WON
            )
            require(settled, "settlement", event.task_id, f"every winner is due {each}, the others nothing")
            self._require_no_bond(task)
        else:
            paid, worker = each, task.worker
            self._books.unlock(worker, self._bond(task))
            self._books.credit(worker, paid)
            task = self._move_seat(
                task, worker, SeatState.WON, state=SeatState.WON, bonded=False, paid_units=paid
            )
        refunded = escrow(task) - paid
        require(
            (event.worker, event.paid_units, event.refunded_units) == (worker, paid, refunded),
            "settlement",
            event.task_id,
            f"{worker} is due {paid}, refund {refunded}",
        )
        self._books.credit(task.request.requester, refunded)
        self._put(
            replace(
                task,
                state=TaskState.SETTLED,
                ended_at=event.at.timestamp,
                paid_units=paid,
                refunded_units=refunded,
            )
        )

    @_ending_step.register
    def _refund(self, event: TaskRefunded) -> None:
        task = self._in_state(event.task_id, *WAITING, *ANSWERABLE)
        due = self._refund_due(task, event.reason)
        require(due, "refund", event.task_id, f"not by reason {event.reason} in this state")
        self._require_no_bond(task)
        left = escrow_left(task)
        require(event.refunded_units == left, "refund", event.refunded_units, f"the escrow is {left}")
        self._books.credit(task.request.requester, left)
        self._put(
            replace(
                task,
                state=TaskState.REFUNDED,
                ended_at=event.at.timestamp,
                paid_units=seats_paid(task),
                refunded_units=left,
                refund_reason=event.reason,
            )
        )

    def _refund_due(self, task: TaskView, reason: int) -> bool:
        """Whether the task can have ended so."""
        waiting, returned = task.state in WAITING, not task.challenge_bond_units
        match reason:
            case RefundReason.CANCELLED:
                return waiting and not task.committed
            case RefundReason.EXPIRED:
                few = task.committed < quorum(task.request.replicas)
                return waiting and few and not seats_paid(task)
            case RefundReason.NO_QUORUM:
                return waiting and task.replicated and task.until > 0 and self._no_quorum(task)
            case RefundReason.UNANSWERED:
                return task.task_id in self._unanswered and returned
            case RefundReason.FAULTY:
                return task.faulty is True and returned
            case _:
                return False

    def _no_quorum(self, task: TaskView) -> bool:
        revealed = [seat for seat in task.seats if seat.verdict]
        verdicts = [seat.verdict for seat in revealed]
        most = max((verdicts.count(verdict) for verdict in verdicts), default=0)
        return most < quorum(task.request.replicas) and all(
            seat.paid_units == no_quorum_units(self._charge(task, seat.output_tokens)) for seat in revealed
        )
