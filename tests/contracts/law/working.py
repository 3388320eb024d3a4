"""The model's calls of workers, and those that end tasks: claim, release, post, settle, expire."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.contracts.law.asking import Asking
from tests.contracts.law.book import Faults, Refused, Seat, SeatState, State, Task

Skipped = list[tuple[bytes, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Posting:
    task_id: bytes
    body: bytes
    tokens: int


class Working(Asking):
    """The worker's calls and the ends of a task that nobody disputes."""

    def claim_many(self, caller: str, ids: Sequence[bytes]) -> Skipped:
        skipped = []
        for task_id in ids:
            if reasons := self._claim_faults(caller, task_id):
                skipped.append((task_id, frozenset(reasons)))
            else:
                self._claim(caller, self.tasks[task_id])
        return skipped

    def release(self, caller: str, task_id: bytes) -> None:
        task = self._in_state(task_id, State.LEASED)
        if task.replicated:
            seat = task.seat_of(caller)
            if seat is None or seat.state != SeatState.LEASED:
                raise Refused(["WrongSeat"])
            until = seat.until
        else:
            seat, until = None, task.until
            if task.worker != caller:
                raise Refused(["NotWorker"])
        if self.now > until:
            raise Refused(["LeaseEnded"])
        bond, lease_secs = self.bond(task), task.terms.lease_secs
        held = self.now - (until - lease_secs)
        burned = max(bond * 5 // 100, bond * held // lease_secs)
        self.unlock(caller, bond, bond - burned)
        self.burned += burned
        if seat is not None:
            seat.state = SeatState.EMPTY
        if task.taken() == 0:
            task.state, task.worker, task.until = State.OPEN, "0x" + "0" * 40, self.now

    def post_batch(self, caller: str, postings: Sequence[Posting]) -> tuple[list[Posting], Skipped]:
        taken: list[Posting] = []
        skipped: Skipped = []
        for posting in postings:
            if reasons := self._post_faults(caller, posting):
                skipped.append((posting.task_id, frozenset(reasons)))
                continue
            task = self.tasks[posting.task_id]
            task.posted_body = posting.body
            self.post(task, posting.tokens)
            taken.append(posting)
        return taken, skipped

    def note_batch(self, root: bytes, worker: str) -> None:
        self.batches[root] = (worker, self.now)

    def settle_many(self, ids: Sequence[bytes]) -> Skipped:
        skipped = []
        for task_id in ids:
            task = self.task(task_id)
            if task is None or task.state != State.POSTED:
                skipped.append((task_id, frozenset({"WrongState"})))
                continue
            faults = Faults()
            faults.note(self.now <= task.until, "WindowOpen")
            faults.note(bool(task.demands), "DemandsOpen")
            if faults.reasons:
                skipped.append((task_id, frozenset(faults.reasons)))
            else:
                self.settle(task)
        return skipped

    def expire(self, task_id: bytes) -> None:
        task = self._in_state(task_id, State.OPEN, State.LEASED)
        faults = Faults()
        faults.note(self.now <= task.terms.deadline, "DeadlineNotPassed")
        faults.note(task.replicated and task.committed >= task.quorum, "QuorumCommitted")
        faults.settle()
        self.lapse_leases(task)
        for seat in task.seats:
            if seat.state == SeatState.COMMITTED:
                self.leave(task, seat, 0)
        self.refund(task)

    # ------------------------------------------------------------------------------------------------- moves

    def post(self, task: Task, tokens: int) -> None:
        task.state, task.tokens, task.until = State.POSTED, tokens, self.now + self.law.window

    def settle(self, task: Task) -> None:
        """Pays whoever's result stands, and gives the rest of the escrow back."""
        each = task.charge(task.tokens) + task.tip // task.terms.replicas
        rest = task.escrow
        for winner in task.winners:
            self.unlock(winner, self.bond(task), self.bond(task) + each)
            rest -= each
        self.account(task.terms.requester).free += rest
        task.state = State.SETTLED

    def leave(self, task: Task, seat: Seat, paid: int) -> None:
        """A seat ends without a fault."""
        seat.state = SeatState.LEFT
        self.unlock(seat.worker, self.bond(task), self.bond(task) + paid)

    # ------------------------------------------------------------------------------------------------- parts

    def _claim_faults(self, caller: str, task_id: bytes) -> set[str]:
        task = self.task(task_id)
        if task is None or task.state not in (State.OPEN, State.LEASED):
            return {"WrongState"}
        faults = Faults()
        faults.note(self.now + task.terms.lease_secs > task.terms.deadline, "DeadlineTooSoon")
        faults.note(self.bond(task) > self.account(caller).free, "InsufficientFree")
        if not task.replicated:
            faults.note(task.state == State.LEASED and self.now <= task.until, "LeaseRunning")
            return faults.reasons
        own = task.seat_of(caller)
        if own is not None:
            faults.note(not self._is_lapsed(own), "AlreadySeated")
        elif all(seat.state != SeatState.EMPTY and not self._is_lapsed(seat) for seat in task.seats):
            faults.note(True, "LeaseRunning")
        return faults.reasons

    def _claim(self, caller: str, task: Task) -> None:
        until = self.now + task.terms.lease_secs
        self.number(caller)
        if task.replicated:
            place = self._place_for(caller, task)
            if place.state == SeatState.LEASED:
                self.burn_bond(place.worker, self.bond(task))
            place.state, place.worker, place.until = SeatState.LEASED, caller, until
            task.until = 0
        else:
            if task.state == State.LEASED:
                self.burn_bond(task.worker, self.bond(task))
            task.worker, task.until = caller, until
        task.state = State.LEASED
        self.lock(caller, self.bond(task))

    def _place_for(self, caller: str, task: Task) -> Seat:
        """One's own lapsed seat, else a free one, else the first lapsed one."""
        own = task.seat_of(caller)
        free = [seat for seat in task.seats if seat.state == SeatState.EMPTY]
        lapsed = [seat for seat in task.seats if self._is_lapsed(seat)]
        return own or [*free, *lapsed][0]

    def _is_lapsed(self, seat: Seat) -> bool:
        return seat.state == SeatState.LEASED and self.now > seat.until

    def _post_faults(self, caller: str, posting: Posting) -> set[str]:
        task = self.task(posting.task_id)
        if task is None or task.state != State.LEASED:
            return {"WrongState"}
        if task.replicated:
            return {"Replicated"}
        faults = Faults()
        faults.note(task.worker != caller, "NotWorker")
        faults.note(self.now > task.terms.deadline, "DeadlinePassed")
        faults.note(posting.tokens > task.terms.max_output_tokens, "TooManyTokens")
        return faults.reasons
