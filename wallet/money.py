"""Where an address's money is: free, in bonds, outside; and what of it waits in which task, why, and until when."""

from collections.abc import Iterator
from dataclasses import dataclass

from chain.market import Waiting
from protocol.digest import JsonValue, to_hex
from protocol.lifecycle import DemandState, Standing, TaskView
from protocol.money import bond_units_total, escrow_units
from wallet.desk import Desk
from wallet.purse import outside_units
from wallet.view import Snapshot

_ARBITER = "the arbiter is to rule"
_WHY = {
    Standing.OPEN: ("no worker has claimed it", "'quern cancel' returns it now"),
    Standing.LEASED: ("a worker is at it", "the lease ends, or a result comes"),
    Standing.LAPSED: ("its worker let the lease lapse", "'quern cancel' returns it now"),
    Standing.EXPIRED: ("nobody answered by the deadline", "'quern cancel' returns it now"),
    Standing.REVEALABLE: ("enough replicas have committed", "anybody opens the reveal"),
    Standing.REVEALING: ("its replicas reveal", "the last reveal, or the end of the time for it"),
    Standing.CLOSABLE: ("its replicas have revealed", "anybody counts them"),
    Standing.POSTED: ("the challenge window is open, or a demand is", "both are over"),
    Standing.SETTLEABLE: ("the challenge window is over", "anybody settles it"),
    Standing.DISPUTED: (_ARBITER, "the ruling, or the end of the time for it"),
    Standing.TIMED_OUT: ("the arbiter was silent", "anybody ends it"),
}


@dataclass(frozen=True, slots=True)
class Wait:
    """So many UNITs of one address in one task: `role` says as what, `why` and `ends_with` in plain words; `until`
    is the longest anybody must wait for the next call, unix seconds, 0 where it waits for a call only.
    """

    task_id: bytes
    role: str
    units: int
    standing: Standing
    why: str
    ends_with: str
    until: int

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "task": to_hex(self.task_id),
            "role": self.role,
            "units": self.units,
            "state": self.standing.name.lower(),
            "why": self.why,
            "ends_with": self.ends_with,
            "until": self.until or None,
        }


@dataclass(frozen=True, slots=True)
class Money:
    """UNITs: `free` may be withdrawn, `locked` are bonds of leases, `outside` is the address's own; `waits` is all that
    tasks hold, bonds among them.
    """

    address: str
    free_units: int
    locked_units: int
    outside_units: int
    ether_wei: int
    waits: tuple[Wait, ...]

    @property
    def escrow_units(self) -> int:
        return sum(wait.units for wait in self.waits if wait.role == "escrow")


@dataclass(frozen=True, slots=True)
class _Part:
    task: TaskView
    role: str
    units: int


def money(desk: Desk, address: str) -> Money:
    """Amounts from the replayed events; why and until when from `MarketLens.waiting`."""
    snapshot = desk.read()
    account = desk.market.account(address)
    parts = tuple(_parts(desk, snapshot, address))
    ids = list(dict.fromkeys(part.task.task_id for part in parts))
    told = {each.task_id: each for each in desk.market.waiting(ids)} if ids else {}
    return Money(
        address=address,
        free_units=account.free_units,
        locked_units=account.locked_units,
        outside_units=outside_units(desk, address),
        ether_wei=desk.rpc.balance_wei(address),
        waits=tuple(_wait(part, told[part.task.task_id]) for part in parts),
    )


def _parts(desk: Desk, snapshot: Snapshot, address: str) -> Iterator[_Part]:
    unit = desk.deployment.parameters.bond_unit_units
    for task in snapshot.market.tasks.values():
        if not task.live:
            continue
        if task.request.requester == address:
            yield _Part(task, "escrow", _escrow(task))
        if any(seat.worker == address and seat.bonded for seat in task.seats):
            yield _Part(task, "bond", bond_units_total(task.request.bond_units, unit))
        if task.challenger == address and task.challenge_bond_units:
            yield _Part(task, "challenge", task.challenge_bond_units)
    for (task_id, leaf), demand in snapshot.market.demands.items():
        if demand.demander == address and demand.state is DemandState.OPEN:
            yield _Part(snapshot.task(task_id), f"demand of leaf {leaf}", demand.fee_units)


def _escrow(task: TaskView) -> int:
    request = task.request
    return escrow_units(request.max_fee_units, request.replicas, task.tip_units)


def _wait(part: _Part, told: Waiting) -> Wait:
    why, ends_with = _WHY.get(told.standing, ("the task has ended", "anybody closes the demand"))
    return Wait(part.task.task_id, part.role, part.units, told.standing, why, ends_with, told.until)
