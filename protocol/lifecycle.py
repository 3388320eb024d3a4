"""A task as the market's events tell it, and what time has done to it since. States and events are named here too."""

from dataclasses import dataclass

from protocol.events import (
    BatchPosted,
    BondSlashed,
    ChallengeLost,
    ChallengeReturned,
    CommitmentBurned,
    DemandClosed,
    DemandLapsed,
    Deposited,
    Event,
    HearingOpened,
    HearingRuled,
    InversionRecorded,
    LeafAnswered,
    LeafDemanded,
    LeaseLapsed,
    LeaseReleased,
    ModelAnnounced,
    Place,
    PriorityRaised,
    RequestRevoked,
    ResultCommitted,
    ResultPosted,
    ResultRevealed,
    RevealOpened,
    RoundWon,
    SeatPaid,
    ShareCollected,
    StoreAnnounced,
    TaskChallenged,
    TaskClaimed,
    TaskRefunded,
    TaskRuled,
    TaskSettled,
    TaskSkipped,
    TaskSubmitted,
    VoteCommitted,
    VoteRevealed,
    Withdrawn,
    WorkerIndexed,
)
from protocol.money import quorum
from protocol.request import Request
from protocol.states import DemandState, RefundReason, SeatState, SkipReason, Standing, TaskState, Vote

_LIVE = (TaskState.OPEN, TaskState.LEASED, TaskState.POSTED, TaskState.DISPUTED)


@dataclass(frozen=True, slots=True)
class SeatView:
    """One worker's part in a task. `body`, `verdict` and `output_tokens` are known once posted or revealed.

    `bonded`: the bond is still locked. `until` ends the lease.
    """

    worker: str
    state: SeatState
    until: int
    claimed_at: int
    bonded: bool = True
    commitment: bytes = b""
    body: bytes = b""
    verdict: bytes = b""
    output_tokens: int = 0
    paid_units: int = 0

    def lapsed(self, now: int) -> bool:
        """Whether a claim may take the seat: nothing was committed, and the lease is over."""
        return self.state is SeatState.LEASED and now > self.until


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task after its latest event. Unset until known: `worker` and `body` are empty, numbers are 0.

    `until` as the market stores it: after a release since when the task is open again; Leased the end of the lease,
    or with several replicas of the reveal, 0 before it is open; Posted the end of the challenge window; Disputed the
    last second of a ruling. `window_end` is the window's in both.

    `seats` has one entry for each worker that is or was part of the present round. With several replicas `worker`
    and `body` stay empty, and `claimed_at` is that of the latest claim. `challenge_bond_units` is 0 once it was
    returned or lost; `faulty` is None without a ruling.
    """

    task_id: bytes
    request: Request
    state: TaskState
    tip_units: int
    priced_at: int
    submitted_at: int
    worker: str = ""
    claimed_at: int = 0
    until: int = 0
    posted_at: int = 0
    root: bytes = b""
    body: bytes = b""
    output_tokens: int = 0
    ended_at: int = 0
    paid_units: int = 0
    refunded_units: int = 0
    refund_reason: int = 0
    seats: tuple[SeatView, ...] = ()
    verdict: bytes = b""
    window_end: int = 0
    open_demands: int = 0
    challenger: str = ""
    challenge_bond_units: int = 0
    faulty: bool | None = None

    @property
    def live(self) -> bool:
        """Whether the escrow is still held."""
        return self.state in _LIVE

    @property
    def replicated(self) -> bool:
        return self.request.replicas > 1

    @property
    def winners(self) -> tuple[str, ...]:
        """Whose result counts: the worker that posted, or the seats of the verdict that had the quorum."""
        return tuple(seat.worker for seat in self.seats if seat.state is SeatState.WON)

    @property
    def committed(self) -> int:
        """Seats that have committed, revealed or not."""
        return sum(seat.commitment != b"" for seat in self.seats)

    @property
    def revealed(self) -> int:
        return sum(seat.commitment != b"" and seat.verdict != b"" for seat in self.seats)

    def seat_of(self, worker: str) -> SeatView | None:
        """The worker's seat whose bond is locked, or else the last one it had in this round."""
        own = [seat for seat in self.seats if seat.worker == worker]
        return next((seat for seat in own if seat.bonded), own[-1] if own else None)


@dataclass(frozen=True, slots=True)
class DemandView:
    """A call for one leaf; `tokens` are the answer's."""

    demander: str
    until: int
    fee_units: int
    state: DemandState = DemandState.OPEN
    tokens: tuple[int, ...] = ()


def derived_state(task: TaskView, now: int) -> Standing:
    """What a stranger's call would find at second `now`; every limit is inclusive."""
    match task.state:
        case TaskState.OPEN:
            return Standing.EXPIRED if now > task.request.deadline else Standing.OPEN
        case TaskState.LEASED:
            return _round_standing(task, now) if task.replicated else _lease_standing(task, now)
        case TaskState.POSTED:
            over = now > task.until and not task.open_demands
            return Standing.SETTLEABLE if over else Standing.POSTED
        case TaskState.DISPUTED:
            over = now > task.until and not task.open_demands
            return Standing.TIMED_OUT if over else Standing.DISPUTED
        case _:
            return Standing[task.state.name]


def claimable(task: TaskView, now: int, worker: str = "") -> bool:
    """Whether a claim by `worker` would find a seat at second `now`, its balance apart."""
    request = task.request
    if now + request.lease_secs > request.deadline:
        return False
    if task.state is TaskState.OPEN:
        return True
    if task.state is not TaskState.LEASED:
        return False
    if not task.replicated:
        return now > task.until
    if task.until:
        return False  # the reveal is open
    if any(seat.worker == worker and seat.bonded and not seat.lapsed(now) for seat in task.seats):
        return False
    taken = [seat for seat in task.seats if seat.bonded]
    return len(taken) < request.replicas or any(seat.lapsed(now) for seat in taken)


def _lease_standing(task: TaskView, now: int) -> Standing:
    if now > task.request.deadline:
        return Standing.EXPIRED
    return Standing.LAPSED if now > task.until else Standing.LEASED


def _round_standing(task: TaskView, now: int) -> Standing:
    committed = task.committed
    if task.until:
        over = now > task.until or task.revealed == committed
        return Standing.CLOSABLE if over else Standing.REVEALING
    if now > task.request.deadline:
        return Standing.REVEALABLE if committed >= quorum(task.request.replicas) else Standing.EXPIRED
    lapsed = all(seat.lapsed(now) for seat in task.seats if seat.bonded)
    return Standing.LAPSED if lapsed and not committed else Standing.LEASED


__all__ = [
    "BatchPosted",
    "BondSlashed",
    "ChallengeLost",
    "ChallengeReturned",
    "CommitmentBurned",
    "DemandClosed",
    "DemandLapsed",
    "DemandState",
    "DemandView",
    "Deposited",
    "Event",
    "HearingOpened",
    "HearingRuled",
    "InversionRecorded",
    "LeafAnswered",
    "LeafDemanded",
    "LeaseLapsed",
    "LeaseReleased",
    "ModelAnnounced",
    "Place",
    "PriorityRaised",
    "RefundReason",
    "RequestRevoked",
    "ResultCommitted",
    "ResultPosted",
    "ResultRevealed",
    "RevealOpened",
    "RoundWon",
    "SeatPaid",
    "SeatState",
    "SeatView",
    "ShareCollected",
    "SkipReason",
    "Standing",
    "StoreAnnounced",
    "TaskChallenged",
    "TaskClaimed",
    "TaskRefunded",
    "TaskRuled",
    "TaskSettled",
    "TaskSkipped",
    "TaskState",
    "TaskSubmitted",
    "TaskView",
    "Vote",
    "VoteCommitted",
    "VoteRevealed",
    "Withdrawn",
    "WorkerIndexed",
    "claimable",
    "derived_state",
]
