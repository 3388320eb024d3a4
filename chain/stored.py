"""What the contracts store, typed, and read from the words they return."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from chain.bindings import InferenceMarketAbi, MarketLensAbi
from protocol.abi import ZERO_ADDRESS, parse_address
from protocol.states import SeatState, Standing, TaskState


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the market stores it. `worker` is "" while there is none or there are several; `until` as in
    `TaskView`; `seats` counts those taken of a replicated task.
    """

    state: TaskState
    replicas: int
    seats: int
    worker: str
    until: int
    deadline: int
    lease_secs: int
    bond_units: int
    flat_percent: int
    priced_at: int
    open_demands: int
    max_output_tokens: int
    output_tokens: int
    requester: str
    max_fee_units: int
    tip_units: int


@dataclass(frozen=True, slots=True)
class Seat:
    """`digest` is the commitment, and once revealed the verdict. `worker` is "" on a seat never taken."""

    state: SeatState
    worker: str
    until: int
    output_tokens: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Round:
    """`winners` and `verdict` are 0 until the round is closed; `seats` is empty for a task of one replica."""

    committed: int
    revealed: int
    winners: int
    verdict: bytes
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class Demand:
    """`demander` is "" for a leaf nobody demanded; `until` is 0 once the demand has ended."""

    demander: str
    until: int


@dataclass(frozen=True, slots=True)
class Dispute:
    """`challenger` is "" for a task never challenged."""

    challenger: str
    window_end: int


@dataclass(frozen=True, slots=True)
class Account:
    """UNITs; `index` is 0 for whoever never claimed."""

    free_units: int
    locked_units: int
    index: int


@dataclass(frozen=True, slots=True)
class Batch:
    """`worker` is "" for a root nobody posted."""

    worker: str
    posted_at: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task's money that waits, in UNITs; `until`: when the standing ends by itself, 0 where a call must come."""

    task_id: bytes
    standing: Standing
    escrow_units: int
    bonds_units: int
    challenge_bond_units: int
    demand_fee_units: int
    until: int


def read_task(data: bytes) -> Task:
    state, replicas, seats, worker, *rest = InferenceMarketAbi.decode_task_of(data)
    until, deadline, lease_secs, bond_units, flat_percent, priced_at, demands, most, tokens = cast(
        "list[int]", rest[:9]
    )
    requester, max_fee_units, tip_units = cast("tuple[str, int, int]", tuple(rest[9:]))
    return Task(
        state=TaskState(cast("int", state)),
        replicas=cast("int", replicas),
        seats=cast("int", seats),
        worker=holder(cast("str", worker)),
        until=until,
        deadline=deadline,
        lease_secs=lease_secs,
        bond_units=bond_units,
        flat_percent=flat_percent,
        priced_at=priced_at,
        open_demands=demands,
        max_output_tokens=most,
        output_tokens=tokens,
        requester=parse_address("requester", requester),
        max_fee_units=max_fee_units,
        tip_units=tip_units,
    )


def read_round(data: bytes, seats: Sequence[bytes]) -> Round:
    """`seats`: what the market returned for each of them."""
    committed, revealed, winners, verdict = cast(
        "tuple[int, int, int, bytes]", InferenceMarketAbi.decode_round_of(data)
    )
    return Round(committed, revealed, winners, verdict, tuple(_seat(seat) for seat in seats))


def _seat(data: bytes) -> Seat:
    state, worker, until, tokens, digest = cast(
        "tuple[int, str, int, int, bytes]", InferenceMarketAbi.decode_seat_of(data)
    )
    return Seat(SeatState(state), holder(worker), until, tokens, digest)


def read_demand(data: bytes) -> Demand:
    demander, until = cast("tuple[str, int]", InferenceMarketAbi.decode_demand_of(data))
    return Demand(holder(demander), until)


def read_dispute(data: bytes) -> Dispute:
    challenger, window_end = cast("tuple[str, int]", InferenceMarketAbi.decode_dispute_of(data))
    return Dispute(holder(challenger), window_end)


def read_account(data: bytes) -> Account:
    free, locked, index = cast("tuple[int, int, int]", InferenceMarketAbi.decode_account(data))
    return Account(free, locked, index)


def read_batch(data: bytes) -> Batch:
    worker, posted_at = cast("tuple[str, int]", InferenceMarketAbi.decode_batch(data))
    return Batch(holder(worker), posted_at)


def read_waiting(data: bytes) -> list[Waiting]:
    rows = cast("Sequence[tuple[bytes, int, int, int, int, int, int]]", MarketLensAbi.decode_waiting(data))
    return [Waiting(task_id, Standing(standing), *money) for task_id, standing, *money in rows]


def holder(address: str) -> str:
    """The ABI coder gives lower case; "" stands for nobody."""
    return "" if address == ZERO_ADDRESS else parse_address("holder", address)
