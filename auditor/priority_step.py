"""Step 6: was a better-ranked task, no worse for the worker, passed over when this one was claimed?"""

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.case import Case
from auditor.findings import Finding, Lacking
from chain.deployment import Parameters
from protocol.digest import to_hex
from protocol.lifecycle import Event, TaskClaimed, TaskState, TaskView
from protocol.priority import rank_key, task_priority
from protocol.replay import MarketReplay


@dataclass(frozen=True, slots=True)
class Inversion:
    """`skipped` was better ranked by `ahead` wei per million output tokens, and open for `open_secs` seconds."""

    skipped: bytes
    ahead: int
    open_secs: int


def check_priority(case: Case) -> Finding:
    """Step 6. An inversion is listed, not refuted: the skipped task's input may have been dead."""
    claim = last_claim(case.history.events, case.task_id)
    if claim is None:
        raise Lacking("nobody has claimed the task yet")
    found = inversions(case.history.events, claim, case.deployment.parameters)
    at = f"when {claim.worker} claimed it in block {claim.at.block_number}"
    if not found:
        return Finding(
            f"{at}, no better-ranked task was open that suited the worker as well", {"inversions": []}
        )
    listed = ", ".join(f"{to_hex(item.skipped)[:18]} (open for {item.open_secs} s)" for item in found[:3])
    return Finding(
        f"{at}, {len(found)} better-ranked task(s) were passed over: {listed}",
        {"inversions": [to_hex(item.skipped) for item in found]},
    )


def last_claim(events: Sequence[Event], task_id: bytes) -> TaskClaimed | None:
    """The claim that led to the task's present state."""
    claims = [event for event in events if isinstance(event, TaskClaimed) and event.task_id == task_id]
    return claims[-1] if claims else None


def inversions(events: Sequence[Event], claim: TaskClaimed, parameters: Parameters) -> list[Inversion]:
    """Tasks that `claim` passed over against the published order; those the same transaction claims are not."""
    before = _just_before(events, claim, parameters.bond_unit_units)
    now = claim.at.timestamp
    taken = before.task(claim.task_id)
    together = {
        event.task_id
        for event in events
        if isinstance(event, TaskClaimed) and event.at.tx_hash == claim.at.tx_hash
    }
    own_priority = task_priority(taken, now, parameters.age_rate_wei)
    own_rank = rank_key(own_priority, taken.task_id)
    found = []
    for other in before.view().tasks.values():
        waited = now - other.priced_at
        if (
            other.state is not TaskState.OPEN
            or other.task_id in together
            or waited <= parameters.inversion_grace_secs
        ):
            continue
        its_priority = task_priority(other, now, parameters.age_rate_wei)
        rank = rank_key(its_priority, other.task_id)
        if rank < own_rank and _no_worse(other, taken, now):
            found.append((rank, Inversion(other.task_id, its_priority - own_priority, waited)))
    return [inversion for _, inversion in sorted(found, key=lambda pair: pair[0])]


def _just_before(events: Sequence[Event], claim: TaskClaimed, bond_unit_units: int) -> MarketReplay:
    market = MarketReplay(bond_unit_units)
    for event in events:
        if event.at.tx_hash == claim.at.tx_hash:
            break
        market.apply(event)
    return market


def _no_worse(other: TaskView, taken: TaskView, now: int) -> bool:
    """Same model, class and replicas; no more tokens or bond; no less fee per token, flat share or lease."""
    a, b = other.request, taken.request
    return (
        (a.model_id, a.equivalence, a.replicas) == (b.model_id, b.equivalence, b.replicas)
        and a.max_output_tokens <= b.max_output_tokens
        and a.bond_units <= b.bond_units
        and a.max_fee_units * b.max_output_tokens >= b.max_fee_units * a.max_output_tokens
        and a.flat_percent >= b.flat_percent
        and a.lease_secs >= b.lease_secs
        and now + a.lease_secs <= a.deadline
    )
