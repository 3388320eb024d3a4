"""The model's calls of replicated tasks: commit, open the reveal, reveal, close the round."""

from collections import Counter
from dataclasses import dataclass

from tests.contracts.law.book import Faults, Refused, SeatState, State, Task
from tests.contracts.law.working import Working


@dataclass(frozen=True, slots=True)
class Showing:
    """What a reveal shows: whose seat, how many tokens, what it commits to and the verdict it amounts to."""

    task_id: bytes
    worker: str
    tokens: int
    commitment: bytes
    verdict: bytes


class Replicas(Working):
    """The rounds of replicated tasks."""

    def commit(self, caller: str, task_id: bytes, commitment: bytes) -> None:
        task = self._round(task_id)
        seat = task.seat_of(caller)
        faults = Faults()
        faults.note(seat is None or seat.state != SeatState.LEASED, "WrongSeat")
        faults.note(self.now > task.terms.deadline, "DeadlinePassed")
        faults.settle()
        assert seat is not None
        seat.state, seat.digest = SeatState.COMMITTED, commitment
        task.committed += 1
        if task.committed == task.terms.replicas:
            task.until = self.now + self.law.answer_time

    def open_reveal(self, task_id: bytes) -> None:
        task = self._round(task_id)
        if task.revealing or self.now <= task.terms.deadline or task.committed < task.quorum:
            raise Refused(["RevealNotDue"])
        self.lapse_leases(task)
        task.until = self.now + self.law.answer_time

    def reveal(self, shown: Showing) -> None:
        task = self._round(shown.task_id)
        if not task.revealing:
            raise Refused(["RevealNotOpen"])
        seat = task.seat_of(shown.worker)
        faults = Faults()
        faults.note(self.now > task.until, "RevealEnded")
        faults.note(seat is None or seat.state != SeatState.COMMITTED, "WrongSeat")
        faults.note(shown.tokens > task.terms.max_output_tokens, "TooManyTokens")
        faults.note(seat is not None and seat.digest != shown.commitment, "CommitmentMismatch")
        faults.settle()
        assert seat is not None
        seat.state, seat.tokens, seat.digest = SeatState.REVEALED, shown.tokens, shown.verdict
        task.revealed += 1

    def close_round(self, task_id: bytes) -> None:
        task = self._round(task_id)
        if not task.revealing:
            raise Refused(["RevealNotOpen"])
        if self.now <= task.until and task.revealed < task.committed:
            raise Refused(["RevealRunning"])
        shown = [seat for seat in task.seats if seat.state == SeatState.REVEALED]
        votes = Counter(seat.digest for seat in shown)
        won = [verdict for verdict, count in votes.items() if count >= task.quorum]
        for seat in task.seats:
            if seat.state == SeatState.COMMITTED:
                seat.state = SeatState.BURNED
                self.burn_bond(seat.worker, self.bond(task))
        if won:
            self._win(task, won[0])
        else:
            paid = 0
            for seat in shown:
                half = task.charge(seat.tokens) // 2
                self.leave(task, seat, half)
                paid += half
            self.refund(task, paid)

    def _win(self, task: Task, verdict: bytes) -> None:
        task.verdict = verdict
        tokens = 0
        for seat in task.seats:
            if seat.state != SeatState.REVEALED:
                continue
            if seat.digest == verdict:
                seat.state = SeatState.WON
                tokens = seat.tokens
            else:
                self.leave(task, seat, 0)
        self.post(task, tokens)

    def _round(self, task_id: bytes) -> Task:
        task = self._in_state(task_id, State.LEASED)
        if not task.replicated:
            raise Refused(["NotReplicated"])
        return task
