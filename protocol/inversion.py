"""When a claim passed over a better task: the rule that `MarketLens.recordSkip` and the auditor share."""

from dataclasses import dataclass

from protocol.lifecycle import TaskView
from protocol.parameters import Parameters
from protocol.priority import rank_key, task_priority
from protocol.states import TaskState


@dataclass(frozen=True, slots=True)
class Inversion:
    """`taken` was claimed at `claimed_at` while `skipped` ranked higher by `lead_wei` (wei per million output tokens)
    and had been open for `waited_secs`.
    """

    taken: bytes
    skipped: bytes
    claimed_at: int
    lead_wei: int
    waited_secs: int


def open_since(task: TaskView) -> int:
    """From when an open task could have been claimed at its present rank: its last pricing, or its last release."""
    return max(task.priced_at, task.until if task.state is TaskState.OPEN else 0)


def inversion(
    taken: TaskView, skipped: TaskView, claimed_at: int, parameters: Parameters, unit_wei: int
) -> Inversion | str:
    """The inversion of a claim of `taken` at second `claimed_at`, or what about it does not hold, in the words of
    `MarketLens.recordSkip`.

    `skipped` as it was just before the claim, `taken` with the tip and age it had then.
    """
    why = _no_choice(skipped, claimed_at, parameters) or _worse(taken, skipped)
    if why:
        return why
    own = task_priority(taken, claimed_at, parameters.age_rate_wei, unit_wei)
    other = task_priority(skipped, claimed_at, parameters.age_rate_wei, unit_wei)
    if rank_key(other, skipped.task_id) >= rank_key(own, taken.task_id):
        return "skipped ranks lower"
    return Inversion(
        taken.task_id, skipped.task_id, claimed_at, other - own, claimed_at - open_since(skipped)
    )


def _no_choice(skipped: TaskView, claimed_at: int, parameters: Parameters) -> str:
    """Why the worker could not have taken the other task instead."""
    if skipped.state is not TaskState.OPEN:
        return "skipped is not open"
    if claimed_at - open_since(skipped) <= parameters.inversion_grace_secs:
        return "skipped within the grace time"
    request = skipped.request
    return (
        "" if claimed_at + request.lease_secs <= request.deadline else "skipped could not be claimed any more"
    )


def _worse(taken: TaskView, skipped: TaskView) -> str:
    """In what the other task was worse for the worker; "" if in nothing."""
    ours, theirs = taken.request, skipped.request
    for name, holds in (
        ("another model", theirs.model_id == ours.model_id),
        ("another class", theirs.equivalence == ours.equivalence),
        ("other replicas", theirs.replicas == ours.replicas),
        ("more tokens", theirs.max_output_tokens <= ours.max_output_tokens),
        ("a higher bond", theirs.bond_units <= ours.bond_units),
        (
            "a lower fee per token",
            theirs.max_fee_units * ours.max_output_tokens >= ours.max_fee_units * theirs.max_output_tokens,
        ),
        ("a lower flat share", theirs.flat_percent >= ours.flat_percent),
        ("a shorter lease", theirs.lease_secs >= ours.lease_secs),
    ):
        if not holds:
            return name
    return ""
