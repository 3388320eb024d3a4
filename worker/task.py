"""One task as the market's events tell it to this worker."""

from dataclasses import dataclass

from protocol import lifecycle
from protocol.lifecycle import SeatState, TaskState
from protocol.money import quorum
from protocol.request import Request

_COMMITTED = (SeatState.COMMITTED, SeatState.REVEALED)


@dataclass(frozen=True, slots=True)
class Seat:
    """One worker's part in a replicated task; `until` ends its lease. `verdict` is known once revealed."""

    worker: str
    state: SeatState
    until: int
    verdict: bytes = b""

    @property
    def committed(self) -> bool:
        return self.state in _COMMITTED


@dataclass(frozen=True, slots=True)
class OpenDemand:
    """A leaf somebody calls for, to be shown by `until`."""

    leaf: int
    until: int


@dataclass(slots=True)
class Task:
    """One task; times are chain seconds.

    `until`: Leased, the end of the lease, or with several replicas of the reveal, 0 before it is open; Posted, of the
    challenge window; Disputed, of the time for a ruling. `round_at`: when the round last moved on. `holder` is the
    worker of one replica; several have `seats`, of which those of the winning verdict stay.
    `mine` holds from this worker's claim on, also when the lease was lost; `held_before` from the loss on.
    `earned_units` and `burned_units` are this worker's own: paid, fees and shares; bonds lost, wherever they went.
    """

    id: bytes
    request: Request
    priced_at: int
    tip_units: int
    submitted_block: int
    submitted_at: int
    state: TaskState = TaskState.OPEN
    holder: str = ""
    until: int = 0
    output_tokens: int = 0
    root: bytes = b""
    body: bytes = b""
    claimed_block: int = 0
    claimed_at: int = 0
    posted_block: int = 0
    posted_at: int = 0
    posted_place: int = 0
    ended_at: int = 0
    paid_units: int = 0
    refunded_units: int = 0
    earned_units: int = 0
    burned_units: int = 0
    round_at: int = 0
    seats: tuple[Seat, ...] = ()
    demands: tuple[OpenDemand, ...] = ()
    mine: bool = False
    held_before: bool = False

    @property
    def terminal(self) -> bool:
        return self.state in {TaskState.SETTLED, TaskState.REFUNDED}

    @property
    def replicated(self) -> bool:
        return self.request.replicas > 1

    @property
    def committed(self) -> int:
        return sum(seat.committed for seat in self.seats)

    @property
    def has_quorum(self) -> bool:
        """Of commitments: the round will be revealed and not refunded."""
        return self.committed >= quorum(self.request.replicas)

    @property
    def all_revealed(self) -> bool:
        return all(seat.state is SeatState.REVEALED for seat in self.seats if seat.committed)

    def seat_of(self, worker: str) -> Seat | None:
        for seat in self.seats:
            if seat.worker == worker:
                return seat
        return None

    def place_of(self, worker: str) -> int:
        """Where the worker stands among the seats: who acts first where any of them may."""
        return next((place for place, seat in enumerate(self.seats) if seat.worker == worker), 0)

    def held_by(self, worker: str) -> bool:
        """Whether the worker has a lease to meet."""
        if self.state is not TaskState.LEASED:
            return False
        seat = self.seat_of(worker)
        return self.holder == worker if not self.replicated else seat is not None and not seat.committed

    def lease_end(self, worker: str) -> int:
        """Of the worker's own lease."""
        seat = self.seat_of(worker)
        return seat.until if seat is not None else self.until

    def in_round(self, worker: str) -> bool:
        """Whether the worker has committed and the round goes on."""
        seat = self.seat_of(worker)
        return self.state is TaskState.LEASED and seat is not None and seat.committed

    def answered_for_by(self, worker: str) -> bool:
        """Whether the worker's result stands, so that it must answer demands for it."""
        if self.state not in {TaskState.POSTED, TaskState.DISPUTED}:
            return False
        return self.holder == worker if not self.replicated else self.seat_of(worker) is not None

    def claimable_from(self, worker: str) -> int | None:
        """The second after which a claim finds a lease that lapsed; 0 where a seat is free, None where none will be."""
        if self.state is TaskState.OPEN:
            return 0
        if self.state is not TaskState.LEASED or self.holder == worker:
            return None
        if not self.replicated:
            return self.until
        if self.until or self.seat_of(worker) is not None:
            return None
        if len(self.seats) < self.request.replicas:
            return 0
        return min((seat.until for seat in self.seats if not seat.committed), default=None)


def update(task: Task, event: lifecycle.Event, me: str) -> None:
    """Bring the task up to date with one of its events; others change nothing."""
    match event:
        case lifecycle.PriorityRaised():
            task.tip_units, task.priced_at = event.tip_units, event.priced_at
        case lifecycle.TaskClaimed():
            _claimed(task, event, me)
        case lifecycle.LeaseLapsed() | lifecycle.LeaseReleased() | lifecycle.CommitmentBurned():
            _leave(task, event.worker)
            if event.worker == me:
                task.held_before = True
                task.burned_units += event.burned_units
        case lifecycle.ResultPosted():
            task.state, task.until = TaskState.POSTED, event.window_end
            task.root, task.body, task.output_tokens = event.root, event.body, event.output_tokens
            task.posted_block, task.posted_at = event.at.block_number, event.at.timestamp
            task.posted_place = event.at.log_index
        case lifecycle.TaskSettled():
            task.state, task.ended_at = TaskState.SETTLED, event.at.timestamp
            task.paid_units, task.refunded_units = event.paid_units, event.refunded_units
            if event.worker == me:
                task.earned_units += event.paid_units
        case lifecycle.TaskRefunded():
            task.state, task.ended_at = TaskState.REFUNDED, event.at.timestamp
            task.refunded_units = event.refunded_units
        case _:
            _update_round(task, event, me)
            _update_dispute(task, event, me)


def _claimed(task: Task, event: lifecycle.TaskClaimed, me: str) -> None:
    task.state = TaskState.LEASED
    if task.replicated:
        task.until = 0
        task.seats = (*task.seats, Seat(event.worker, SeatState.LEASED, event.until))
    else:
        task.holder, task.until = event.worker, event.until
    if event.worker == me or not task.replicated:
        task.claimed_block, task.claimed_at = event.at.block_number, event.at.timestamp
    task.mine = task.mine or event.worker == me


def _leave(task: Task, worker: str) -> None:
    """A lease or a seat is gone; with the last one the task is open again."""
    task.seats = tuple(seat for seat in task.seats if seat.worker != worker)
    task.holder = ""
    if not task.seats:
        task.state, task.until = TaskState.OPEN, 0


def _update_round(task: Task, event: lifecycle.Event, me: str) -> None:
    match event:
        case lifecycle.ResultCommitted():
            _seat(task, event.worker, SeatState.COMMITTED)
            task.round_at = event.at.timestamp
        case lifecycle.RevealOpened():
            task.until, task.round_at = event.until, event.at.timestamp
        case lifecycle.ResultRevealed():
            _seat(task, event.worker, SeatState.REVEALED, event.verdict)
            task.round_at = event.at.timestamp
        case lifecycle.SeatPaid():
            if event.worker == me:
                task.earned_units += event.paid_units
            if task.state is TaskState.LEASED:
                # Paid before the task is settled: it leaves the round, with nothing or with half.
                task.seats = tuple(seat for seat in task.seats if seat.worker != event.worker)
        case lifecycle.RoundWon():
            task.seats = tuple(seat for seat in task.seats if seat.verdict == event.verdict)
            task.state, task.until, task.output_tokens = (
                TaskState.POSTED,
                event.window_end,
                event.output_tokens,
            )
            task.posted_block, task.posted_at = event.at.block_number, event.at.timestamp
        case _:
            pass


def _update_dispute(task: Task, event: lifecycle.Event, me: str) -> None:
    match event:
        case lifecycle.LeafDemanded():
            task.demands = (*task.demands, OpenDemand(event.leaf, event.until))
        case lifecycle.LeafAnswered():
            if task.answered_for_by(me):
                task.earned_units += event.paid_units
            _undemand(task, event.leaf)
        case lifecycle.DemandLapsed() | lifecycle.DemandClosed():
            _undemand(task, event.leaf)
        case lifecycle.TaskChallenged():
            task.state, task.until = TaskState.DISPUTED, event.until
        case lifecycle.BondSlashed():
            if event.worker == me:
                lost = event.to_challenger_units + event.to_arbiter_units + event.burned_units
                task.burned_units += lost
                task.held_before = True
        case lifecycle.ChallengeLost():
            if task.answered_for_by(me):
                task.earned_units += event.to_each_units
        case _:
            pass


def _seat(task: Task, worker: str, state: SeatState, verdict: bytes = b"") -> None:
    task.seats = tuple(
        Seat(worker, state, seat.until, verdict) if seat.worker == worker else seat for seat in task.seats
    )


def _undemand(task: Task, leaf: int) -> None:
    task.demands = tuple(demand for demand in task.demands if demand.leaf != leaf)
