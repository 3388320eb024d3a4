"""Every event of the market, its lens, the registry and the panel."""

from dataclasses import dataclass

from protocol.request import Request
from protocol.states import TaskState


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
    """Any event. Amounts are UNITs, digests 32 bytes, addresses EIP-55, times unix seconds."""

    at: Place


# ---- money


@dataclass(frozen=True, slots=True)
class Deposited(Event):
    account: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    account: str
    to: str
    amount_units: int


# ---- asking


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
class RequestRevoked(Event):
    task_id: bytes
    requester: str


# ---- working


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


# ---- replicas


@dataclass(frozen=True, slots=True)
class ResultCommitted(Event):
    task_id: bytes
    worker: str
    commitment: bytes


@dataclass(frozen=True, slots=True)
class RevealOpened(Event):
    task_id: bytes
    until: int


@dataclass(frozen=True, slots=True)
class ResultRevealed(Event):
    task_id: bytes
    worker: str
    body: bytes
    verdict: bytes
    output_tokens: int


@dataclass(frozen=True, slots=True)
class CommitmentBurned(Event):
    task_id: bytes
    worker: str
    burned_units: int


@dataclass(frozen=True, slots=True)
class SeatPaid(Event):
    """`paid_units` came out of the escrow, `bond_total_units` out of the worker's locked balance."""

    task_id: bytes
    worker: str
    paid_units: int
    bond_total_units: int


@dataclass(frozen=True, slots=True)
class RoundWon(Event):
    task_id: bytes
    verdict: bytes
    winners: int
    output_tokens: int
    window_end: int


# ---- disputes


@dataclass(frozen=True, slots=True)
class LeafDemanded(Event):
    task_id: bytes
    leaf: int
    demander: str
    until: int


@dataclass(frozen=True, slots=True)
class LeafAnswered(Event):
    """`paid_units` went to the worker, or to each winner."""

    task_id: bytes
    leaf: int
    tokens: tuple[int, ...]
    paid_units: int
    burned_units: int


@dataclass(frozen=True, slots=True)
class DemandLapsed(Event):
    task_id: bytes
    leaf: int
    demander: str
    fee_units: int


@dataclass(frozen=True, slots=True)
class DemandClosed(Event):
    task_id: bytes
    leaf: int
    demander: str
    fee_units: int


@dataclass(frozen=True, slots=True)
class TaskChallenged(Event):
    task_id: bytes
    challenger: str
    bond_total_units: int
    until: int


@dataclass(frozen=True, slots=True)
class TaskRuled(Event):
    task_id: bytes
    faulty: bool


@dataclass(frozen=True, slots=True)
class BondSlashed(Event):
    task_id: bytes
    worker: str
    to_challenger_units: int
    to_arbiter_units: int
    burned_units: int


@dataclass(frozen=True, slots=True)
class ChallengeReturned(Event):
    task_id: bytes
    challenger: str
    bond_total_units: int


@dataclass(frozen=True, slots=True)
class ChallengeLost(Event):
    task_id: bytes
    challenger: str
    to_each_units: int
    to_arbiter_units: int
    burned_units: int


# ---- ending


@dataclass(frozen=True, slots=True)
class TaskSettled(Event):
    """`worker` is the zero address for a replicated task: `SeatPaid` says who got what."""

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


# ---- the registry


@dataclass(frozen=True, slots=True)
class ModelAnnounced(Event):
    model_id: bytes
    announcer: str
    uri: str


@dataclass(frozen=True, slots=True)
class StoreAnnounced(Event):
    worker: str
    uri: str


# ---- the lens


@dataclass(frozen=True, slots=True)
class InversionRecorded(Event):
    taken: bytes
    skipped: bytes
    worker: str
    claimed_at: int


# ---- the panel, which may serve several markets


@dataclass(frozen=True, slots=True)
class HearingOpened(Event):
    market: str
    task_id: bytes
    commit_until: int
    reveal_until: int


@dataclass(frozen=True, slots=True)
class VoteCommitted(Event):
    market: str
    task_id: bytes
    member: str
    commitment: bytes


@dataclass(frozen=True, slots=True)
class VoteRevealed(Event):
    market: str
    task_id: bytes
    member: str
    faulty: bool


@dataclass(frozen=True, slots=True)
class HearingRuled(Event):
    market: str
    task_id: bytes
    faulty: bool
    votes: int
    share_units: int


@dataclass(frozen=True, slots=True)
class ShareCollected(Event):
    market: str
    member: str
    to: str
    amount_units: int
