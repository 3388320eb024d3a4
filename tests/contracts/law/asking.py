"""The model's calls of requesters: money in and out, submit, revoke, raise, cancel."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.contracts.law.book import Book, Faults, Refused, Seat, SeatState, State, Task, Terms


@dataclass(frozen=True, slots=True)
class Order:
    """A request as sent: its id, its terms, and whether what stands for the requester's word is good."""

    task_id: bytes
    terms: Terms
    is_vouched: bool


class Asking(Book):
    """Money in and out, and the requester's calls. A call either changes the book or raises Refused."""

    def deposit(self, beneficiary: str, value: int) -> None:
        faults = Faults()
        faults.note(not self.law.is_ether, "WrongCurrency")
        faults.note(int(beneficiary, 16) == 0, "ZeroAddress")
        self._note_value(faults, value)
        faults.settle()
        self.account(beneficiary).free += value // self.law.unit

    def deposit_token(self, beneficiary: str, amount: int, reasons: Sequence[str]) -> None:
        """`reasons`: why the token will not move, or not as it should."""
        faults = Faults()
        faults.note(self.law.is_ether, "WrongCurrency")
        faults.note(int(beneficiary, 16) == 0, "ZeroAddress")
        faults.reasons.update(reasons)
        faults.settle()
        self.account(beneficiary).free += amount

    def withdraw(self, caller: str, amount: int, to: str, reasons: Sequence[str]) -> None:
        """`reasons`: why the money will not arrive."""
        faults = Faults()
        faults.note(int(to, 16) == 0, "ZeroAddress")
        faults.note(amount > self.account(caller).free, "InsufficientFree")
        faults.reasons.update(reasons)
        faults.settle()
        self.account(caller).free -= amount

    def submit(self, order: Order, value: int, unvouched: str) -> None:
        """`unvouched`: the market's word for a request of somebody else."""
        faults = Faults()
        self._note_value(faults, value)
        faults.reasons.update(self._order_faults(order, unvouched, value // self.law.unit))
        faults.settle()
        self.account(order.terms.requester).free += value // self.law.unit
        self._open(order)

    def submit_many(
        self, payer: str, orders: Sequence[Order], value: int, unvouched: str
    ) -> list[tuple[bytes, frozenset[str]]]:
        """What was skipped, and why. `payer` sent `value` along."""
        faults = Faults()
        self._note_value(faults, value)
        faults.settle()
        self.account(payer).free += value // self.law.unit
        skipped = []
        for order in orders:
            if reasons := self._order_faults(order, unvouched, 0):
                skipped.append((order.task_id, frozenset(reasons)))
            else:
                self._open(order)
        return skipped

    def revoke(self, caller: str, order: Order) -> None:
        faults = Faults()
        faults.note(caller != order.terms.requester, "NotRequester")
        faults.note(self.state(order.task_id) != State.NONE, "WrongState")
        faults.settle()
        self.revoked.add(order.task_id)

    def raise_tip(self, caller: str, task_id: bytes, new_tip: int) -> None:
        task = self._in_state(task_id, State.OPEN)
        faults = Faults()
        faults.note(caller != task.terms.requester, "NotRequester")
        faults.note(new_tip <= task.tip, "TipNotRaised")
        faults.note(new_tip - task.tip > self.account(caller).free, "InsufficientFree")
        faults.settle()
        self.account(caller).free -= new_tip - task.tip
        task.tip = new_tip
        task.priced_at = self.now

    def cancel(self, task_id: bytes, reasons: Sequence[str]) -> None:
        """`reasons`: why it is not the requester who asks."""
        task = self._in_state(task_id, State.OPEN, State.LEASED)
        faults = Faults()
        faults.reasons.update(reasons)
        if task.state == State.LEASED and not task.replicated:
            faults.note(self.now <= task.until, "LeaseRunning")
        running = [s for s in task.seats if s.state == SeatState.LEASED and self.now <= s.until]
        faults.note(bool(running), "LeaseRunning")
        faults.note(task.committed > 0, "AlreadyCommitted")
        faults.settle()
        self.lapse_leases(task)
        self.refund(task)

    def lapse_leases(self, task: Task) -> None:
        """Burns the bond of every lease that is left."""
        if task.state == State.LEASED and not task.replicated:
            self.burn_bond(task.worker, self.bond(task))
        for seat in task.seats:
            if seat.state == SeatState.LEASED:
                seat.state = SeatState.BURNED
                self.burn_bond(seat.worker, self.bond(task))

    # ------------------------------------------------------------------------------------------------- parts

    def _in_state(self, task_id: bytes, *wanted: State, also: Faults | None = None) -> Task:
        """The task, which must be in one of these states; `also` is what else is wrong with the call."""
        task = self.task(task_id)
        if task is None or task.state not in wanted:
            raise Refused(["WrongState", *(also.reasons if also else ())])
        return task

    def _note_value(self, faults: Faults, value: int) -> None:
        faults.note(value > 0 and not self.law.is_ether, "WrongCurrency")
        faults.note(value % self.law.unit != 0, "NotWholeUnits")

    def _order_faults(self, order: Order, unvouched: str, credit: int) -> set[str]:
        terms, faults = order.terms, Faults()
        faults.note(not order.is_vouched, unvouched)
        faults.note(terms.replicas not in (1, 3, 5, 7), "BadReplicas")
        faults.note(terms.replicas != 1 and not any(terms.equivalence), "NoEquivalence")
        faults.note(terms.max_output_tokens == 0, "NoOutputTokens")
        faults.note(terms.flat_percent > 100, "FlatPercentTooHigh")
        faults.note(terms.bond_units == 0, "NoBond")
        faults.note(terms.lease_secs < self.law.min_lease, "LeaseTooShort")
        faults.note(terms.deadline < self.now + terms.lease_secs, "DeadlineTooSoon")
        faults.note(terms.deadline > self.now + self.law.max_life, "DeadlineTooFar")
        faults.note(self.state(order.task_id) != State.NONE, "WrongState")
        price = terms.max_fee * terms.replicas + terms.tip
        faults.note(price > self.account(terms.requester).free + credit, "InsufficientFree")
        return faults.reasons

    def _open(self, order: Order) -> None:
        terms = order.terms
        task = Task(terms, State.OPEN, terms.tip, self.now)
        if task.replicated:
            task.seats = [Seat() for _ in range(terms.replicas)]
        self.account(terms.requester).free -= task.escrow
        self.add(order.task_id, task)
