"""What the market's law says of money and states: the records of the model that the contracts are held against.

Written from the protocol page and the interface, not from the contracts. Amounts are UNITs, times unix seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

NOBODY = "0x" + "0" * 40
ZERO = bytes(32)


class State(IntEnum):
    NONE = 0
    OPEN = 1
    LEASED = 2
    POSTED = 3
    DISPUTED = 4
    SETTLED = 5
    REFUNDED = 6


class SeatState(IntEnum):
    EMPTY = 0
    LEASED = 1
    COMMITTED = 2
    REVEALED = 3
    WON = 4
    LEFT = 5
    BURNED = 6


ENDED = (State.SETTLED, State.REFUNDED)
LIVE_SEATS = (SeatState.LEASED, SeatState.COMMITTED, SeatState.REVEALED, SeatState.WON)


class Refused(Exception):
    """The law refuses the call; the market may name any of `reasons`, for a call can be wrong in two ways."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = frozenset(reasons)
        super().__init__(sorted(self.reasons))


@dataclass(frozen=True, slots=True)
class Law:
    """The parameters that the model knows; `unit` is wei (or the token's smallest part) in a UNIT."""

    window: int
    answer_time: int
    arbiter_timeout: int
    min_lease: int
    max_life: int
    bond_unit: int
    challenge_bond: int
    demand_fee: int
    arbiter: str
    unit: int
    is_ether: bool


@dataclass(slots=True)
class Terms:
    """What the law reads of a request."""

    requester: str
    equivalence: bytes
    max_fee: int
    flat_percent: int
    tip: int
    max_output_tokens: int
    bond_units: int
    deadline: int
    lease_secs: int
    replicas: int


@dataclass(slots=True)
class Seat:
    state: SeatState = SeatState.EMPTY
    worker: str = NOBODY
    until: int = 0
    tokens: int = 0
    digest: bytes = ZERO


@dataclass(slots=True)
class Task:
    """`bonds` names who has a bond in the task; `demands` are those that wait: leaf -> (demander, until)."""

    terms: Terms
    state: State
    tip: int
    priced_at: int
    worker: str = NOBODY
    until: int = 0
    tokens: int = 0
    seats: list[Seat] = field(default_factory=list)
    committed: int = 0
    revealed: int = 0
    verdict: bytes = ZERO
    posted_body: bytes = ZERO
    demands: dict[int, tuple[str, int]] = field(default_factory=dict)
    demanded: set[int] = field(default_factory=set)
    challenger: str = NOBODY
    window_end: int = 0
    challenge_bond: int = 0

    @property
    def replicated(self) -> bool:
        return self.terms.replicas > 1

    @property
    def quorum(self) -> int:
        return self.terms.replicas // 2 + 1

    @property
    def escrow(self) -> int:
        return 0 if self.state in ENDED else self.terms.max_fee * self.terms.replicas + self.tip

    @property
    def revealing(self) -> bool:
        return self.replicated and self.state == State.LEASED and self.until != 0

    @property
    def winners(self) -> list[str]:
        if not self.replicated:
            return [self.worker]
        return [seat.worker for seat in self.seats if seat.state == SeatState.WON]

    @property
    def leaves(self) -> int:
        return -(-self.tokens // 32)

    def charge(self, tokens: int) -> int:
        flat = self.terms.max_fee * self.terms.flat_percent // 100
        return flat + (self.terms.max_fee - flat) * tokens // self.terms.max_output_tokens

    def seat_of(self, worker: str) -> Seat | None:
        """The seat that a worker has or had last in the round; an empty one belongs to nobody."""
        return next((s for s in self.seats if s.worker == worker and s.state != SeatState.EMPTY), None)

    def taken(self) -> int:
        return sum(seat.state != SeatState.EMPTY for seat in self.seats)

    def bonded(self) -> Iterator[str]:
        """Whose bonds the task holds."""
        if self.state in (State.NONE, State.OPEN) or self.state in ENDED:
            return
        if self.replicated:
            yield from (seat.worker for seat in self.seats if seat.state in LIVE_SEATS)
        else:
            yield self.worker


@dataclass(slots=True)
class Account:
    free: int = 0
    locked: int = 0
    index: int = 0


class Book:
    """Everybody's money. Each move of money of the law is a method here."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self.now = 0
        self.accounts: dict[str, Account] = {}
        self.tasks: dict[bytes, Task] = {}
        self._holding: list[Task] = []
        self.revoked: set[bytes] = set()
        self.batches: dict[bytes, tuple[str, int]] = {}
        self.burned = 0
        self.workers: list[str] = []

    def account(self, who: str) -> Account:
        return self.accounts.setdefault(who, Account())

    def task(self, task_id: bytes) -> Task | None:
        return self.tasks.get(task_id)

    def state(self, task_id: bytes) -> State:
        if task_id in self.revoked:
            return State.REFUNDED
        task = self.tasks.get(task_id)
        return State.NONE if task is None else task.state

    def bond(self, task: Task) -> int:
        return task.terms.bond_units * self.law.bond_unit

    # ------------------------------------------------------------------------------------------------- moves

    def lock(self, who: str, amount: int) -> None:
        account = self.account(who)
        account.free -= amount
        account.locked += amount

    def unlock(self, who: str, bond: int, paid: int) -> None:
        account = self.account(who)
        account.locked -= bond
        account.free += paid

    def burn_bond(self, who: str, bond: int) -> None:
        self.unlock(who, bond, 0)
        self.burned += bond

    def number(self, who: str) -> None:
        """A worker's number, given at the first claim."""
        if self.account(who).index == 0:
            self.workers.append(who)
            self.account(who).index = len(self.workers)

    def refund(self, task: Task, paid: int = 0) -> None:
        """Ends the task; what was not paid out is the requester's."""
        self.account(task.terms.requester).free += task.escrow - paid
        task.state = State.REFUNDED
        self.return_challenge(task)

    def return_challenge(self, task: Task) -> None:
        if task.challenge_bond:
            self.account(task.challenger).free += task.challenge_bond
            task.challenge_bond = 0

    # ------------------------------------------------------------------------------------------------ totals

    def add(self, task_id: bytes, task: Task) -> None:
        self.tasks[task_id] = task
        self._holding.append(task)

    def holding(self) -> list[Task]:
        """Tasks that still hold somebody's money."""
        self._holding = [task for task in self._holding if task.state not in ENDED or task.demands]
        return self._holding

    def held(self) -> int:
        """UNITs that the market holds for anybody, and those burned (I1)."""
        accounts = sum(account.free + account.locked for account in self.accounts.values())
        return accounts + self.burned + sum(self.held_by(task) for task in self.holding())

    def held_by(self, task: Task) -> int:
        return task.escrow + task.challenge_bond + len(task.demands) * self.law.demand_fee

    def bonds(self) -> dict[str, int]:
        """What must be locked, by whose it is (I4)."""
        found: dict[str, int] = {}
        for task in self.holding():
            for worker in task.bonded():
                found[worker] = found.get(worker, 0) + self.bond(task)
        return found

    def wealth(self) -> dict[str, int]:
        """What is each one's, wherever in the market it is at the moment."""
        found = {who: account.free + account.locked for who, account in self.accounts.items()}
        for task in self.holding():
            for who, amount in (
                (task.terms.requester, task.escrow),
                (task.challenger, task.challenge_bond),
                *((demander, self.law.demand_fee) for demander, _ in task.demands.values()),
            ):
                found[who] = found.get(who, 0) + amount
        return found


class Faults:
    """Collects what is wrong with a call; `settle` refuses it for all of that at once."""

    def __init__(self) -> None:
        self.reasons: set[str] = set()

    def note(self, is_fault: bool, reason: str) -> None:
        if is_fault:
            self.reasons.add(reason)

    def settle(self) -> None:
        if self.reasons:
            raise Refused(self.reasons)
