"""Replay: the replicas' commitments, reveals and count."""

from dataclasses import replace
from functools import singledispatchmethod

from protocol.books import require
from protocol.events import (
    CommitmentBurned,
    Event,
    ResultCommitted,
    ResultRevealed,
    RevealOpened,
    RoundWon,
    SeatPaid,
)
from protocol.money import quorum
from protocol.replay_state import ANSWERABLE, ReplayState, escrow_left
from protocol.states import SeatState, TaskState


class RoundSteps(ReplayState):
    """Each step raises ImpossibleHistory."""

    @singledispatchmethod
    def _round_step(self, event: Event) -> None:
        """Events of other kinds are for other steps."""

    @_round_step.register
    def _commit(self, event: ResultCommitted) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        require(task.replicated and not task.until, "commitment", event.task_id, "no round takes it")
        self._put(
            self._move_seat(
                task,
                event.worker,
                SeatState.LEASED,
                state=SeatState.COMMITTED,
                commitment=event.commitment,
            )
        )

    @_round_step.register
    def _open_reveal(self, event: RevealOpened) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        due = task.replicated and not task.until and task.committed >= quorum(task.request.replicas)
        require(due, "reveal", event.task_id, f"{task.committed} commitments are no quorum, or it is open")
        self._put(replace(task, until=event.until))

    @_round_step.register
    def _reveal(self, event: ResultRevealed) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        require(task.replicated and task.until > 0, "reveal", event.task_id, "it is not open")
        self._require_tokens(task, event.output_tokens)
        self._put(
            self._move_seat(
                task,
                event.worker,
                SeatState.COMMITTED,
                state=SeatState.REVEALED,
                body=event.body,
                verdict=event.verdict,
                output_tokens=event.output_tokens,
            )
        )

    @_round_step.register
    def _burn_commitment(self, event: CommitmentBurned) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED, TaskState.POSTED)
        bond = self._bond(task)
        require(event.burned_units == bond, "bond", event.burned_units, f"the seat's bond is {bond}")
        self._books.unlock(event.worker, bond, bond)
        self._put(
            self._move_seat(task, event.worker, SeatState.COMMITTED, state=SeatState.BURNED, bonded=False)
        )

    @_round_step.register
    def _pay_seat(self, event: SeatPaid) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED, *ANSWERABLE)
        bond = self._bond(task)
        seat = self._bonded_seat(task, event.worker)
        due = task.replicated and seat.state is not SeatState.LEASED and event.bond_total_units == bond
        require(due, "seat", event.worker, f"it is {seat.state.name}, its bond {bond}")
        require(event.paid_units <= escrow_left(task), "seat", event.paid_units, "more than the escrow holds")
        self._books.unlock(event.worker, bond)
        self._books.credit(event.worker, event.paid_units)
        won = seat.state is SeatState.WON
        self._put(
            self._move_seat(
                task,
                event.worker,
                seat.state,
                state=SeatState.WON if won else SeatState.LEFT,
                bonded=False,
                paid_units=event.paid_units,
            )
        )

    @_round_step.register
    def _win_round(self, event: RoundWon) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        winners = [seat for seat in task.seats if seat.bonded and seat.verdict == event.verdict]
        carried = (
            len(winners) == event.winners >= quorum(task.request.replicas)
            and task.replicated
            and all(seat.output_tokens == event.output_tokens for seat in winners)
        )
        require(carried, "round", event.verdict, f"{len(winners)} seats revealed this verdict")
        seats = tuple(replace(seat, state=SeatState.WON) if seat in winners else seat for seat in task.seats)
        self._put(
            replace(
                task,
                state=TaskState.POSTED,
                until=event.window_end,
                window_end=event.window_end,
                posted_at=event.at.timestamp,
                verdict=event.verdict,
                output_tokens=event.output_tokens,
                seats=seats,
            )
        )
