"""Replay: money in and out, asking, claiming, posting."""

from dataclasses import replace
from functools import singledispatchmethod

from protocol.books import require
from protocol.events import (
    BatchPosted,
    Deposited,
    Event,
    LeaseLapsed,
    LeaseReleased,
    PriorityRaised,
    RequestRevoked,
    ResultPosted,
    TaskClaimed,
    TaskSubmitted,
    Withdrawn,
)
from protocol.lifecycle import SeatView, TaskView
from protocol.money import escrow_units
from protocol.replay_state import WAITING, ReplayState
from protocol.states import SeatState, TaskState


class TaskSteps(ReplayState):
    """Each step raises ImpossibleHistory."""

    @singledispatchmethod
    def _task_step(self, event: Event) -> None:
        """Events of other kinds are for other steps."""

    @_task_step.register
    def _deposit(self, event: Deposited) -> None:
        self._books.deposit(event.account, event.amount_units)

    @_task_step.register
    def _withdraw(self, event: Withdrawn) -> None:
        self._books.withdraw(event.account, event.amount_units)

    @_task_step.register
    def _submit(self, event: TaskSubmitted) -> None:
        request = event.request
        used = event.task_id in self._tasks or event.task_id in self._revoked
        require(not used, "task", event.task_id, "submitted twice, or after it was revoked")
        self._books.debit(
            request.requester, escrow_units(request.max_fee_units, request.replicas, request.tip_units)
        )
        self._tasks[event.task_id] = TaskView(
            task_id=event.task_id,
            request=request,
            state=TaskState.OPEN,
            tip_units=request.tip_units,
            priced_at=event.priced_at,
            submitted_at=event.at.timestamp,
        )

    @_task_step.register
    def _raise_tip(self, event: PriorityRaised) -> None:
        task = self._in_state(event.task_id, TaskState.OPEN)
        self._books.debit(task.request.requester, event.tip_units - task.tip_units)
        self._put(replace(task, tip_units=event.tip_units, priced_at=event.priced_at))

    @_task_step.register
    def _revoke(self, event: RequestRevoked) -> None:
        used = event.task_id in self._tasks or event.task_id in self._revoked
        require(not used, "task", event.task_id, "revoked after it was used")
        self._revoked[event.task_id] = event.requester

    @_task_step.register
    def _claim(self, event: TaskClaimed) -> None:
        task = self._in_state(event.task_id, *WAITING)
        held = tuple(seat for seat in task.seats if seat.bonded)
        free = len(held) < task.request.replicas and not (task.replicated and task.until and held)
        seated = any(seat.worker == event.worker for seat in held)
        require(free and not seated, "claim", event.worker, "no seat was free, or it had one already")
        self._books.lock(event.worker, self._bond(task))
        seat = SeatView(event.worker, SeatState.LEASED, event.until, event.at.timestamp)
        self._put(
            replace(
                task,
                state=TaskState.LEASED,
                worker="" if task.replicated else event.worker,
                claimed_at=event.at.timestamp,
                until=0 if task.replicated else event.until,
                seats=(*held, seat),
            )
        )

    @_task_step.register
    def _lapse(self, event: LeaseLapsed) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        bond = self._bond(task)
        require(event.burned_units == bond, "bond", event.burned_units, f"the lease's bond is {bond}")
        self._books.unlock(event.worker, bond, bond)
        task = self._move_seat(task, event.worker, SeatState.LEASED, state=SeatState.BURNED, bonded=False)
        # What consumed the lapse follows: another claim, a refund, or the opening of the reveal.
        self._put(_without_lease(task, task.until))

    @_task_step.register
    def _release(self, event: LeaseReleased) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        bond = self._bond(task)
        require(event.burned_units <= bond, "bond", event.burned_units, f"the lease's bond is {bond}")
        self._books.unlock(event.worker, bond, event.burned_units)
        task = self._move_seat(task, event.worker, SeatState.LEASED, state=SeatState.LEFT, bonded=False)
        task = replace(task, seats=tuple(seat for seat in task.seats if seat.bonded))
        self._put(_without_lease(task, event.at.timestamp))

    @_task_step.register
    def _post_batch(self, event: BatchPosted) -> None:
        self._batches[event.root] = (event.worker, event.count)

    @_task_step.register
    def _post(self, event: ResultPosted) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        poster = self._batches.get(event.root, ("", 0))[0]
        by_holder = not task.replicated and poster == task.worker
        require(by_holder, "batch", event.root, f"not posted by the lease's holder {task.worker or 'alone'}")
        self._require_tokens(task, event.output_tokens)
        task = self._move_seat(
            task,
            poster,
            SeatState.LEASED,
            state=SeatState.WON,
            body=event.body,
            output_tokens=event.output_tokens,
        )
        self._put(
            replace(
                task,
                state=TaskState.POSTED,
                until=event.window_end,
                window_end=event.window_end,
                posted_at=event.at.timestamp,
                root=event.root,
                body=event.body,
                output_tokens=event.output_tokens,
            )
        )


def _without_lease(task: TaskView, until: int) -> TaskView:
    """Open again, if that was the last bond in it."""
    if any(seat.bonded for seat in task.seats):
        return task
    return replace(task, state=TaskState.OPEN, worker="", claimed_at=0, until=until)
