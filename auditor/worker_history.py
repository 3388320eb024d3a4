"""What the events tell of one worker: how its leases ended, what it earned and lost, which tasks it passed over."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from auditor.case import History
from auditor.priority_step import Claim, judged
from chain.deployment import Deployment
from protocol.digest import JsonValue, to_hex
from protocol.errors import BadInput
from protocol.lifecycle import (
    BatchPosted,
    BondSlashed,
    CommitmentBurned,
    Deposited,
    Event,
    LeafAnswered,
    LeaseLapsed,
    LeaseReleased,
    ResultCommitted,
    ResultPosted,
    ResultRevealed,
    SeatState,
    TaskClaimed,
    TaskState,
    TaskView,
    Withdrawn,
)
from protocol.replay import AccountView, MarketView, replay


class NotAWorker(BadInput):
    """An address that never claimed a task."""

    def __init__(self, address: str) -> None:
        super().__init__(
            "AUDIT-003", "worker", address, "it never claimed a task here; check it and --deployment"
        )


@dataclass(frozen=True, slots=True)
class Work:
    """Counts of leases and of how they ended. `minority` seats answered otherwise than the quorum, `unrevealed` ones
    committed and kept silent; `faulty` and `cleared` are rulings on its results, `unanswered` demands it let lapse.
    """

    claimed: int
    released: int
    lapsed: int
    posted: int
    committed: int
    revealed: int
    settled: int
    won: int
    minority: int
    unrevealed: int
    answered: int
    unanswered: int
    faulty: int
    cleared: int


@dataclass(frozen=True, slots=True)
class Money:
    """UNITs. `earned` was paid for tasks; `burned` and `slashed` are bonds lost to nobody and by a ruling or a demand;
    `deposited` by anybody for it; `free` and `locked` now.
    """

    earned: int
    burned: int
    slashed: int
    deposited: int
    withdrawn: int
    free: int
    locked: int


@dataclass(frozen=True, slots=True)
class WorkerHistory:
    """`inverted` are the claims that passed over better tasks."""

    address: str
    since: int
    work: Work
    money: Money
    inverted: tuple[Claim, ...]
    results: tuple[TaskView, ...]

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "worker": self.address,
            "since": self.since,
            "work": asdict(self.work),
            "money_units": asdict(self.money),
            "inversions": [
                {
                    "taken": to_hex(claim.event.task_id),
                    "claimed_at": claim.event.at.timestamp,
                    "skipped": [to_hex(item.skipped) for item in claim.inversions],
                }
                for claim in self.inverted
            ],
        }


def history_of(address: str, history: History, deployment: Deployment) -> WorkerHistory:
    """Raises NotAWorker, ImpossibleHistory."""
    claims = [event for event in history.events if isinstance(event, TaskClaimed) and event.worker == address]
    if not claims:
        raise NotAWorker(address)
    view = replay(history.events, deployment.parameters)
    every = judged(history.events, claims, deployment.parameters, deployment.currency.unit)
    return WorkerHistory(
        address=address,
        since=claims[0].at.timestamp,
        work=_work(address, history.events, view),
        money=_money(address, history.events, view),
        inverted=tuple(claim for claim in every if claim.inversions),
        results=tuple(task for task in view.tasks.values() if _made(task, address)),
    )


def _made(task: TaskView, address: str) -> bool:
    """Whether the task's result is this worker's, or one of those that agreed."""
    if not task.posted_at:
        return False
    seat = task.seat_of(address)
    return task.worker == address or (seat is not None and seat.verdict == task.verdict != b"")


def _work(address: str, events: Iterable[Event], view: MarketView) -> Work:
    counts: Counter[type[Event]] = Counter()
    roots: set[bytes] = set()
    answered = 0
    for event in events:
        match event:
            case BatchPosted(root=root, worker=worker) if worker == address:
                roots.add(root)
            case ResultPosted(root=root) if root in roots:
                counts[ResultPosted] += 1
            case LeafAnswered(task_id=task_id) if _made(view.tasks[task_id], address):
                answered += 1
            case (
                TaskClaimed(worker=worker)
                | LeaseReleased(worker=worker)
                | LeaseLapsed(worker=worker)
                | ResultCommitted(worker=worker)
                | ResultRevealed(worker=worker)
                | CommitmentBurned(worker=worker)
            ) if worker == address:
                counts[type(event)] += 1
            case _:
                pass
    made = [task for task in view.tasks.values() if _made(task, address)]
    seats = [seat for task in view.tasks.values() if task.replicated and (seat := task.seat_of(address))]
    ruled = [task.faulty for task in made]
    slashed = {
        event.task_id for event in events if isinstance(event, BondSlashed) and event.worker == address
    }
    return Work(
        claimed=counts[TaskClaimed],
        released=counts[LeaseReleased],
        lapsed=counts[LeaseLapsed],
        posted=counts[ResultPosted],
        committed=counts[ResultCommitted],
        revealed=counts[ResultRevealed],
        settled=sum(task.state is TaskState.SETTLED for task in made),
        won=sum(seat.state is SeatState.WON for seat in seats),
        minority=sum(seat.state is SeatState.LEFT and bool(seat.verdict) for seat in seats),
        unrevealed=counts[CommitmentBurned],
        answered=answered,
        unanswered=sum(view.tasks[task].faulty is None for task in slashed),
        faulty=ruled.count(True),
        cleared=ruled.count(False),
    )


def _money(address: str, events: Iterable[Event], view: MarketView) -> Money:
    burned = slashed = deposited = withdrawn = 0
    for event in events:
        match event:
            case (
                LeaseLapsed(worker=worker, burned_units=units)
                | LeaseReleased(worker=worker, burned_units=units)
                | CommitmentBurned(worker=worker, burned_units=units)
            ) if worker == address:
                burned += units
            case BondSlashed(worker=worker) if worker == address:
                slashed += event.to_challenger_units + event.to_arbiter_units + event.burned_units
            case Deposited(account=account, amount_units=units) if account == address:
                deposited += units
            case Withdrawn(account=account, amount_units=units) if account == address:
                withdrawn += units
            case _:
                pass
    own = view.accounts.get(address, AccountView())
    return Money(
        earned=sum(_earned(task, address) for task in view.tasks.values()),
        burned=burned,
        slashed=slashed,
        deposited=deposited,
        withdrawn=withdrawn,
        free=own.free_units,
        locked=own.locked_units,
    )


def _earned(task: TaskView, address: str) -> int:
    if not task.replicated:
        return task.paid_units if task.worker == address else 0
    return sum(seat.paid_units for seat in task.seats if seat.worker == address)
