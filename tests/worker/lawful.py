"""A chain in memory: calls go to the model of the law that the contracts are held against, and come back as events."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from protocol import lifecycle
from protocol.lifecycle import Event, Place, RefundReason
from protocol.request import Request
from tests.contracts.law.asking import Order
from tests.contracts.law.book import LIVE_SEATS, NOBODY, Law, Refused, Seat, SeatState, State, Task, Terms
from tests.contracts.law.disputes import Market
from tests.contracts.law.replicas import Showing
from tests.contracts.law.working import Posting, Skipped
from tests.worker.makers import OTHER, POLICY
from worker.artefacts import Call
from worker.view import View

REQUESTER = OTHER
ARBITER = "0x" + "Aa" * 20
LAW = Law(
    window=5,
    answer_time=20,
    arbiter_timeout=120,
    min_lease=5,
    max_life=10_000,
    bond_unit=POLICY.bond_unit_units,
    challenge_bond=2 * POLICY.bond_unit_units,
    demand_fee=100,
    arbiter=ARBITER,
    unit=1,
    is_ether=True,
)
TOKENS = 100
Move = Callable[[Market], object]


@dataclass(frozen=True, slots=True)
class Mark:
    """A block to go back to."""

    block: int
    book: Market
    requests: dict[bytes, Request]


class Chain:
    """`do` carries out a move, or raises Refused and changes nothing. `now` is the next block's time."""

    def __init__(self) -> None:
        self._book = Market(LAW)
        self._requests: dict[bytes, Request] = {}
        self.block = 0
        self.now = 0

    def fund(self, who: str, units: int) -> None:
        self._book.account(who).free += units

    def free_units(self, who: str) -> int:
        return self._book.account(who).free

    def locked_units(self, who: str) -> int:
        return self._book.account(who).locked

    def task(self, task_id: bytes) -> Task | None:
        return self._book.task(task_id)

    def submit(self, task_id: bytes, request: Request) -> list[Event]:
        """Raises Refused."""
        self._book.now = self.now
        self._book.submit(Order(task_id, _terms(request), is_vouched=True), 0, "")
        self._requests[task_id] = request
        return [lifecycle.TaskSubmitted(self._place(), task_id, request, self.now)]

    def do(self, task_id: bytes, move: Move) -> list[Event]:
        """Raises Refused."""
        self._book.now = self.now
        before = _copied(self._book.tasks[task_id])
        move(self._book)
        return list(_told(self._place(), task_id, before, self._book.tasks[task_id]))

    def why_not(self, task_id: bytes, move: Move) -> frozenset[str]:
        """Why the law would refuse it now; empty if it would not."""
        try:
            move(self._copy_of([task_id]))
        except Refused as refused:
            return refused.reasons
        return frozenset()

    def mark(self) -> Mark:
        return Mark(self.block, self._copy_of(self._book.tasks), dict(self._requests))

    def go_back(self, mark: Mark) -> dict[bytes, Request]:
        """What was submitted since."""
        gone = {task_id: asked for task_id, asked in self._requests.items() if task_id not in mark.requests}
        self._book, self._requests = mark.book, mark.requests
        return gone

    def agrees_with(self, view: View) -> None:
        """What the worker made of the events is what the law says."""
        for task_id, task in self._book.tasks.items():
            seen = view.tasks[task_id]
            assert int(seen.state) == int(task.state)
            if task.state in (State.SETTLED, State.REFUNDED):
                continue
            assert {each.leaf: each.until for each in seen.demands} == {
                leaf: until for leaf, (_, until) in task.demands.items()
            }
            if task.state != State.OPEN:
                assert seen.until == task.until
            if task.replicated:
                assert sorted((each.worker, each.until, each.committed) for each in seen.seats) == sorted(
                    (each.worker, each.until, each.state != SeatState.LEASED)
                    for each in task.seats
                    if each.state in LIVE_SEATS
                )
            elif task.state != State.OPEN:
                assert seen.holder == task.worker

    def _copy_of(self, task_ids: list[bytes] | dict[bytes, Task]) -> Market:
        """With these tasks only."""
        book = Market(LAW)
        book.now, book.burned, book.workers = self.now, self._book.burned, list(self._book.workers)
        book.accounts = {who: replace(account) for who, account in self._book.accounts.items()}
        for task_id in task_ids:
            book.add(task_id, _copied(self._book.tasks[task_id]))
        return book

    def _place(self) -> Place:
        self.block += 1
        return Place(self.block, b"", b"", 0, self.now)


def move_of(call: Call, who: str, task_id: bytes, leaf: int = 0, verdict: bytes = b"sound") -> Move:
    """A worker's call. Where the market would skip the task, the move is refused."""
    moves: dict[Call, Move] = {
        Call.CLAIM: lambda book: _taken(book.claim_many(who, [task_id])),
        Call.POST: lambda book: _taken(book.post_batch(who, [Posting(task_id, b"body", TOKENS)])[1]),
        Call.SETTLE: lambda book: _taken(book.settle_many([task_id])),
        Call.RELEASE: lambda book: book.release(who, task_id),
        Call.COMMIT: lambda book: book.commit(who, task_id, who.encode()),
        Call.OPEN_REVEAL: lambda book: book.open_reveal(task_id),
        Call.REVEAL: lambda book: book.reveal(Showing(task_id, who, TOKENS, who.encode(), verdict)),
        Call.CLOSE_ROUND: lambda book: book.close_round(task_id),
        Call.ANSWER: lambda book: book.answer(task_id, leaf, ()),
        Call.TIMEOUT: lambda book: book.timeout(task_id),
        Call.EXPIRE: lambda book: book.expire(task_id),
    }
    return moves[call]


def _taken(skipped: Skipped) -> None:
    for _, reasons in skipped:
        raise Refused(reasons)


def _terms(request: Request) -> Terms:
    return Terms(
        requester=request.requester,
        equivalence=request.equivalence,
        max_fee=request.max_fee_units,
        flat_percent=request.flat_percent,
        tip=request.tip_units,
        max_output_tokens=request.max_output_tokens,
        bond_units=request.bond_units,
        deadline=request.deadline,
        lease_secs=request.lease_secs,
        replicas=request.replicas,
    )


def _copied(task: Task) -> Task:
    return replace(
        task,
        seats=[replace(seat) for seat in task.seats],
        demands=dict(task.demands),
        demanded=set(task.demanded),
    )


def _told(at: Place, task_id: bytes, before: Task, after: Task) -> Iterator[Event]:
    """The events of one call, in the market's order, from what it changed."""
    seats = list(zip(_seats(before), _seats(after), strict=True))
    for old, new in seats:
        yield from _left(at, task_id, old, new)
    for old, new in seats:
        yield from _moved_on(at, task_id, old, new)
    if after.revealing and not before.revealing:
        yield lifecycle.RevealOpened(at, task_id, after.until)
    yield from _of_demands(at, task_id, before, after)
    if before.state != after.state:
        yield from _of_the_task(at, task_id, before, after)


def _seats(task: Task) -> list[Seat]:
    """A single worker's lease looks like a seat here."""
    if task.replicated:
        return task.seats
    states = {State.LEASED: SeatState.LEASED, State.OPEN: SeatState.EMPTY, State.REFUNDED: SeatState.BURNED}
    return [Seat(states.get(task.state, SeatState.WON), task.worker, task.until)]


def _left(at: Place, task_id: bytes, old: Seat, new: Seat) -> Iterator[Event]:
    if old.state == SeatState.LEASED and new.state == SeatState.EMPTY:
        yield lifecycle.LeaseReleased(at, task_id, old.worker, 0)
    elif old.state == SeatState.LEASED and (new.state == SeatState.BURNED or _is_another(old, new)):
        yield lifecycle.LeaseLapsed(at, task_id, old.worker, 0)
    elif old.state == SeatState.COMMITTED and new.state == SeatState.BURNED:
        yield lifecycle.CommitmentBurned(at, task_id, old.worker, 0)
    elif old.state != SeatState.LEFT and new.state == SeatState.LEFT:
        yield lifecycle.SeatPaid(at, task_id, old.worker, 0, 0)


def _is_another(old: Seat, new: Seat) -> bool:
    return new.state == SeatState.LEASED and (old.worker, old.until) != (new.worker, new.until)


def _moved_on(at: Place, task_id: bytes, old: Seat, new: Seat) -> Iterator[Event]:
    match new.state:
        case SeatState.LEASED if old.state != SeatState.LEASED or _is_another(old, new):
            yield lifecycle.TaskClaimed(at, task_id, new.worker, new.until)
        case SeatState.COMMITTED if old.state == SeatState.LEASED:
            yield lifecycle.ResultCommitted(at, task_id, new.worker, new.digest)
        case SeatState.REVEALED if old.state == SeatState.COMMITTED:
            yield lifecycle.ResultRevealed(at, task_id, new.worker, b"body", new.digest, new.tokens)


def _of_demands(at: Place, task_id: bytes, before: Task, after: Task) -> Iterator[Event]:
    for leaf, (demander, until) in after.demands.items():
        if leaf not in before.demands:
            yield lifecycle.LeafDemanded(at, task_id, leaf, demander, until)
    for leaf in before.demands.keys() - after.demands.keys():
        if after.state == State.REFUNDED:
            yield lifecycle.DemandLapsed(at, task_id, leaf, NOBODY, 0)
        else:
            yield lifecycle.LeafAnswered(at, task_id, leaf, (), 0, 0)


def _of_the_task(at: Place, task_id: bytes, before: Task, after: Task) -> Iterator[Event]:
    match after.state:
        case State.POSTED if after.replicated:
            winners = len(after.winners)
            yield lifecycle.RoundWon(at, task_id, after.verdict, winners, after.tokens, after.until)
        case State.POSTED:
            yield lifecycle.ResultPosted(at, task_id, b"root", b"body", after.tokens, after.until)
        case State.DISPUTED:
            yield lifecycle.TaskChallenged(at, task_id, after.challenger, 0, after.until)
        case State.SETTLED:
            yield lifecycle.TaskSettled(at, task_id, after.worker, 0, 0)
        case State.REFUNDED:
            if before.state in (State.POSTED, State.DISPUTED):
                for winner in before.winners:
                    yield lifecycle.BondSlashed(at, task_id, winner, 0, 0, 1)
            yield lifecycle.TaskRefunded(at, task_id, RefundReason.CANCELLED, 0)
