"""What a requester may do to a request once it is made: take it back, call it off unsent, raise its tip."""

from typing import TYPE_CHECKING

from chain.call import Call
from chain.rpc import Block
from protocol.errors import BadInput
from protocol.lifecycle import Standing, TaskState, TaskView, derived_state
from wallet.desk import Desk, clock
from wallet.hand import Hand, cancel_call
from wallet.journal import JournalEntry
from wallet.purse import deposit_calls, require_deposit
from wallet.quote import keeps_its_rank
from wallet.view import Snapshot

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


class NotYourTask(BadInput):
    """Only who submitted a task may change it."""

    def __init__(self, task: bytes, requester: str, address: str) -> None:
        fix = f"it belongs to {requester}, the wallet is {address}; choose that --wallet"
        super().__init__("DESK-001", "task", task, fix)


class NotCancellable(BadInput):
    """A worker holds the task, or it has ended."""

    def __init__(self, task: TaskView, standing: Standing) -> None:
        super().__init__(
            "DESK-002",
            "task",
            task.task_id,
            f"it is {standing.name.lower()}; only a task that nobody holds can be taken back",
        )


class TipNotRaised(BadInput):
    """A tip can only be raised, only while the task is open, and never so that the task ranks lower."""

    def __init__(self, asked: str, present: str, reason: str) -> None:
        super().__init__("DESK-003", "tip", asked, f"{reason} (it is {present} now)")


class AlreadyAsked(BadInput):
    """The request is a task already."""

    def __init__(self, task: bytes) -> None:
        super().__init__("DESK-005", "task", task, "the chain has it; take it back by 'quern cancel'")


class AlreadyRevoked(BadInput):
    """The request is called off already."""

    def __init__(self, task: bytes) -> None:
        super().__init__("DESK-006", "task", task, "it is revoked already and can never open; nothing to do")


def require_cancellable(task: TaskView, address: str, head: Block) -> Standing:
    """Raises NotYourTask, NotCancellable."""
    _require_own(task.task_id, task.request.requester, address)
    standing = derived_state(task, clock(head))
    if standing not in (Standing.OPEN, Standing.LAPSED, Standing.EXPIRED):
        raise NotCancellable(task, standing)
    return standing


def take_back_call(desk: Desk, task: TaskView, standing: Standing, hand: Hand) -> Call:
    """`cancel`, or `expire`, which anybody may call, where time has ended the task."""
    if standing is Standing.EXPIRED:
        return desk.market.expire(task.task_id)
    return cancel_call(desk, task.task_id, hand)


def revoke_call(desk: Desk, entry: JournalEntry, snapshot: Snapshot, address: str) -> Call:
    """Raises NotYourTask, AlreadyAsked, AlreadyRevoked, NotThatMuch."""
    _require_own(entry.task_id, entry.request.requester, address)
    if entry.task_id in snapshot.market.tasks:
        raise AlreadyAsked(entry.task_id)
    if entry.task_id in snapshot.market.revoked:
        raise AlreadyRevoked(entry.task_id)
    desk.require_gas(address)
    return desk.market.revoke(entry.request)


def require_raisable(desk: Desk, task: TaskView, tip_units: int, address: str, head: Block) -> int:
    """UNITs to deposit first, what the free balance lacks. Raises NotYourTask, TipNotRaised, NotThatMuch."""
    _require_own(task.task_id, task.request.requester, address)
    now, show = clock(head), desk.currency.show
    asked, present = show(tip_units), show(task.tip_units)
    if task.state is not TaskState.OPEN or derived_state(task, now) is not Standing.OPEN:
        raise TipNotRaised(asked, present, "only an open task's tip can be raised")
    if tip_units <= task.tip_units:
        raise TipNotRaised(asked, present, "give a higher tip")
    if not keeps_its_rank(task, tip_units, now, desk.terms()):
        raise TipNotRaised(asked, present, "raising restarts the wait, so this would rank lower; raise more")
    lacking_units = tip_units - task.tip_units - desk.market.account(address).free_units
    if lacking_units > 0:
        require_deposit(desk, "deposit", lacking_units, address)
        return lacking_units
    desk.require_gas(address)
    return 0


def tip_calls(
    desk: Desk, task: TaskView, tip_units: int, lacking_units: int, account: "LocalAccount"
) -> tuple[Call, ...]:
    """The raise, after a deposit of what the free balance lacks for it."""
    raised = desk.market.raise_tip(task.task_id, tip_units)
    if not lacking_units:
        return (raised,)
    return (*deposit_calls(desk, account, lacking_units, account.address), raised)


def _require_own(task: bytes, requester: str, address: str) -> None:
    if requester != address:
        raise NotYourTask(task, requester, address)
