"""Holding a worker to a posted result: a leaf called for, a ruling called for, inside the challenge window."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.call import Call
from protocol.errors import BadInput, NotYet
from protocol.evidence import leaf_length
from protocol.lifecycle import DemandState, DemandView, TaskState, TaskView
from protocol.merkle import LEAF_TOKENS
from wallet.desk import Desk, clock
from wallet.purse import ASK_GAS, deposit_calls, require_deposit
from wallet.view import Snapshot

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

POLL_SECS = 0.5


class NothingPosted(BadInput):
    """Only a posted result can be held against anybody."""

    def __init__(self, task: TaskView) -> None:
        super().__init__(
            "DISPUTE-001",
            "task",
            task.task_id,
            f"it is {task.state.name.lower()}; only a posted one has a result",
        )


class WindowOver(BadInput):
    """The challenge window has ended: the result stands."""

    def __init__(self, task: TaskView) -> None:
        super().__init__(
            "DISPUTE-002",
            "task",
            task.task_id,
            f"its challenge window ended at {task.window_end}; it stands now",
        )


class AlreadyChallenged(BadInput):
    """One challenge a task."""

    def __init__(self, task: TaskView) -> None:
        super().__init__(
            "DISPUTE-003",
            "task",
            task.task_id,
            f"{task.challenger} has challenged it already; see 'quern panel show'",
        )


class NoAnswerToDemand(NotYet):
    """The answer may still come."""

    def __init__(self, task: bytes, leaf: int, until: int) -> None:
        super().__init__(
            "DISPUTE-004",
            f"leaf {leaf} of task",
            task,
            f"no answer yet, due by {until}; the same command goes on waiting",
        )


@dataclass(frozen=True, slots=True)
class Stake:
    """What a challenge puts up and may bring, UNITs. `gain_units` is half of each bond at fault."""

    bond_units: int
    gain_units: int
    ruling_until: int


def require_open_window(task: TaskView, now: int) -> None:
    """Raises NothingPosted, WindowOver."""
    if task.state not in (TaskState.POSTED, TaskState.DISPUTED):
        raise NothingPosted(task)
    if now > task.window_end:
        raise WindowOver(task)


def stake(desk: Desk, task: TaskView, now: int) -> Stake:
    """Raises NothingPosted, WindowOver, AlreadyChallenged."""
    if task.state is TaskState.DISPUTED:
        raise AlreadyChallenged(task)
    require_open_window(task, now)
    parameters = desk.deployment.parameters
    bond = task.request.bond_units * parameters.bond_unit_units
    return Stake(
        parameters.challenge_bond_units,
        bond // 2 * len(task.winners),
        now + parameters.arbiter_timeout_secs,
    )


def require_fee(desk: Desk, field: str, units: int, address: str) -> int:
    """UNITs that the free balance lacks. Raises NotThatMuch."""
    lacking_units = max(0, units - desk.market.account(address).free_units)
    if lacking_units:
        require_deposit(desk, field, lacking_units, address, ASK_GAS)
    else:
        desk.require_gas(address, ASK_GAS)
    return lacking_units


def challenge_calls(desk: Desk, task: bytes, lacking_units: int, account: "LocalAccount") -> tuple[Call, ...]:
    """The challenge, its bond from the free balance and what is sent along."""
    if desk.is_ether:
        return (desk.market.challenge(task, lacking_units),)
    deposit = deposit_calls(desk, account, lacking_units, account.address) if lacking_units else ()
    return (*deposit, desk.market.challenge(task))


def require_demandable(snapshot: Snapshot, task: TaskView, leaf: int, now: int) -> DemandView | None:
    """The demand of that leaf if somebody made it already, for a leaf is demanded once.

    Raises NothingPosted, WindowOver, NoSuchLeaf.
    """
    found = snapshot.market.demands.get((task.task_id, leaf))
    if found is not None:
        return found
    require_open_window(task, now)
    leaf_length(task.output_tokens, leaf)
    return None


def demand_calls(
    desk: Desk, task: bytes, leaf: int, lacking_units: int, account: "LocalAccount"
) -> tuple[Call, ...]:
    """The demand, its fee from the free balance and what is sent along."""
    if desk.is_ether:
        return (desk.market.demand(task, leaf, lacking_units),)
    deposit = deposit_calls(desk, account, lacking_units, account.address) if lacking_units else ()
    return (*deposit, desk.market.demand(task, leaf))


def follow_demand(desk: Desk, task: bytes, leaf: int, timeout_secs: float | None) -> DemandView:
    """Waits until the demand is answered or its time is over. Raises NoAnswerToDemand when `timeout_secs` are."""
    started = time.monotonic()
    while True:
        snapshot = desk.read()
        found = snapshot.market.demands[task, leaf]
        if found.state is not DemandState.OPEN or clock(snapshot.head) > found.until:
            return found
        if timeout_secs is not None and time.monotonic() - started >= timeout_secs:
            raise NoAnswerToDemand(task, leaf, found.until)
        time.sleep(POLL_SECS)


def end_demand_call(desk: Desk, task: TaskView, leaf: int) -> Call:
    """What gives the fee of an unanswered demand back: it ends the task, unless that has ended already."""
    if task.live:
        return desk.market.lapse_demand(task.task_id, leaf)
    return desk.market.close_demand(task.task_id, leaf)


def same_leaf(token_ids: Sequence[int], leaf: int, shown: Sequence[int]) -> bool:
    """Whether the leaf the worker showed is that of an output at hand."""
    start = leaf * LEAF_TOKENS
    return tuple(token_ids[start : start + LEAF_TOKENS]) == tuple(shown)
