"""The life of tasks and money, derived from the market's events alone."""

from dataclasses import dataclass
from enum import IntEnum

from protocol.request import Request


class TaskState(IntEnum):
    """As stored by the market; the numbers are the contract's."""

    NONE = 0
    OPEN = 1
    LEASED = 2
    POSTED = 3
    DISPUTED = 4
    SETTLED = 5
    REFUNDED = 6


class Standing(IntEnum):
    """A state with what time has done to it since it was written, as `MarketLens.standingOf` has it."""

    NONE = 0
    OPEN = 1
    LEASED = 2
    LAPSED = 3
    EXPIRED = 4
    POSTED = 5
    SETTLEABLE = 6
    DISPUTED = 7
    SETTLED = 8
    REFUNDED = 9


class RefundReason(IntEnum):
    CANCELLED = 1
    EXPIRED = 2


class SkipReason(IntEnum):
    """Why a `...Many` call or `postBatch` left an item out."""

    WRONG_STATE = 1
    NOT_REQUESTER = 2
    REPLICAS_NOT_YET = 3
    NO_OUTPUT_TOKENS = 4
    FLAT_PERCENT_TOO_HIGH = 5
    NO_BOND = 6
    LEASE_TOO_SHORT = 7
    DEADLINE_TOO_SOON = 8
    DEADLINE_TOO_FAR = 9
    INSUFFICIENT_FREE = 10
    LEASE_RUNNING = 11
    NOT_WORKER = 12
    DEADLINE_PASSED = 13
    TOO_MANY_TOKENS = 14
    WINDOW_OPEN = 15


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands on the chain; `timestamp` is its block's, unix seconds."""

    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Event:
    """Any event of the market. Amounts are UNITs, digests 32 bytes, addresses EIP-55, times unix seconds."""

    at: Place


@dataclass(frozen=True, slots=True)
class Deposited(Event):
    account: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    account: str
    to: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class TaskSubmitted(Event):
    task_id: bytes
    request: Request
    priced_at: int


@dataclass(frozen=True, slots=True)
class PriorityRaised(Event):
    task_id: bytes
    tip_units: int
    max_output_tokens: int
    priced_at: int


@dataclass(frozen=True, slots=True)
class WorkerIndexed(Event):
    worker: str
    index: int


@dataclass(frozen=True, slots=True)
class TaskClaimed(Event):
    task_id: bytes
    worker: str
    until: int


@dataclass(frozen=True, slots=True)
class LeaseLapsed(Event):
    task_id: bytes
    worker: str
    burned_units: int


@dataclass(frozen=True, slots=True)
class LeaseReleased(Event):
    task_id: bytes
    worker: str
    burned_units: int


@dataclass(frozen=True, slots=True)
class BatchPosted(Event):
    root: bytes
    worker: str
    count: int


@dataclass(frozen=True, slots=True)
class ResultPosted(Event):
    task_id: bytes
    root: bytes
    body: bytes
    output_tokens: int
    window_end: int


@dataclass(frozen=True, slots=True)
class TaskSettled(Event):
    task_id: bytes
    worker: str
    paid_units: int
    refunded_units: int


@dataclass(frozen=True, slots=True)
class TaskRefunded(Event):
    task_id: bytes
    reason: int
    refunded_units: int


@dataclass(frozen=True, slots=True)
class TaskSkipped(Event):
    task_id: bytes
    state: TaskState
    reason: int


@dataclass(frozen=True, slots=True)
class ModelAnnounced(Event):
    model_id: bytes
    announcer: str
    uri: str


@dataclass(frozen=True, slots=True)
class StoreAnnounced(Event):
    worker: str
    uri: str


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task after its latest event. Unset until known: `worker` and `body` are empty, numbers are 0.

    `until` is the lease's end while Leased and the challenge window's end once Posted.
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


def standing(state: TaskState, until: int, deadline: int, now: int) -> Standing:
    """What a stranger's call would find at second `now`; every limit is inclusive."""
    if state in (TaskState.OPEN, TaskState.LEASED):
        if now > deadline:
            return Standing.EXPIRED
        if state is TaskState.OPEN:
            return Standing.OPEN
        return Standing.LAPSED if now > until else Standing.LEASED
    if state is TaskState.POSTED:
        return Standing.SETTLEABLE if now > until else Standing.POSTED
    return Standing[state.name]


def derived_state(task: TaskView, now: int) -> Standing:
    """`standing` of a task derived from events."""
    return standing(task.state, task.until, task.request.deadline, now)
