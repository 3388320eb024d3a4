"""Replays the market's events into tasks and balances; refuses a history the contract could not have made."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import singledispatchmethod

from protocol.errors import QuernError
from protocol.lifecycle import (
    BatchPosted,
    Deposited,
    Event,
    LeaseLapsed,
    LeaseReleased,
    PriorityRaised,
    ResultPosted,
    TaskClaimed,
    TaskRefunded,
    TaskSettled,
    TaskState,
    TaskSubmitted,
    TaskView,
    Withdrawn,
)
from protocol.money import bond_units_total, charge_units, escrow_units
from protocol.request import Request

_LIVE = (TaskState.OPEN, TaskState.LEASED, TaskState.POSTED, TaskState.DISPUTED)


class ImpossibleHistory(QuernError):
    """Events that no run of the contract emits: a gap in what was fetched, or a node that lies."""

    exit_status = 1

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(
            "HISTORY-001", field, value, f"{reason}; fetch the events again from the market's first block"
        )


@dataclass(frozen=True, slots=True)
class AccountView:
    """UNITs. `locked` is the sum of the account's live bonds."""

    free_units: int = 0
    locked_units: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """UNITs. What came in and stayed is what the market holds: deposited - withdrawn = held, always."""

    deposited_units: int
    withdrawn_units: int
    free_units: int
    locked_units: int
    escrow_units: int
    burned_units: int

    @property
    def held_units(self) -> int:
        return self.free_units + self.locked_units + self.escrow_units + self.burned_units


@dataclass(frozen=True, slots=True)
class MarketView:
    """`batches`: root to (worker, number of receipts). Tasks are in the order of submission."""

    tasks: dict[bytes, TaskView]
    accounts: dict[str, AccountView]
    batches: dict[bytes, tuple[str, int]]
    totals: Totals


def replay(events: Iterable[Event], bond_unit_units: int) -> MarketView:
    """State after `events`, which must be all of the market's, in order.

    `bond_unit_units` is the market's BOND in UNITs. Raises ImpossibleHistory.
    """
    market = MarketReplay(bond_unit_units)
    for event in events:
        market.apply(event)
    return market.view()


class MarketReplay:
    """Feeds on events one by one; `view()` is the state so far."""

    def __init__(self, bond_unit_units: int) -> None:
        self._bond_unit_units = bond_unit_units
        self._tasks: dict[bytes, TaskView] = {}
        self._free: dict[str, int] = {}
        self._locked: dict[str, int] = {}
        self._batches: dict[bytes, tuple[str, int]] = {}
        self._deposited = self._withdrawn = self._burned = 0

    def apply(self, event: Event) -> None:
        """Raises ImpossibleHistory if the contract could not have emitted `event` here."""
        self._step(event)

    def task(self, task_id: bytes) -> TaskView:
        """Raises ImpossibleHistory for a task never submitted."""
        found = self._tasks.get(task_id)
        if found is None:
            raise ImpossibleHistory("task", task_id, "an event names a task that was never submitted")
        return found

    def view(self) -> MarketView:
        accounts = {
            holder: AccountView(self._free.get(holder, 0), self._locked.get(holder, 0))
            for holder in self._free.keys() | self._locked.keys()
        }
        totals = Totals(
            deposited_units=self._deposited,
            withdrawn_units=self._withdrawn,
            free_units=sum(self._free.values()),
            locked_units=sum(self._locked.values()),
            escrow_units=sum(_escrow(task) for task in self._tasks.values() if task.state in _LIVE),
            burned_units=self._burned,
        )
        return MarketView(dict(self._tasks), accounts, dict(self._batches), totals)

    @singledispatchmethod
    def _step(self, event: Event) -> None:
        """Announcements, indexes and skips move no task and no money."""

    @_step.register
    def _deposit(self, event: Deposited) -> None:
        self._deposited += event.amount_units
        self._credit(event.account, event.amount_units)

    @_step.register
    def _withdraw(self, event: Withdrawn) -> None:
        self._withdrawn += event.amount_units
        self._debit(event.account, event.amount_units)

    @_step.register
    def _submit(self, event: TaskSubmitted) -> None:
        request = event.request
        if event.task_id in self._tasks:
            raise ImpossibleHistory("task", event.task_id, "submitted twice")
        self._debit(request.requester, _request_escrow(request, request.tip_units))
        self._tasks[event.task_id] = TaskView(
            task_id=event.task_id,
            request=request,
            state=TaskState.OPEN,
            tip_units=request.tip_units,
            priced_at=event.priced_at,
            submitted_at=event.at.timestamp,
        )

    @_step.register
    def _raise_tip(self, event: PriorityRaised) -> None:
        task = self._in_state(event.task_id, TaskState.OPEN)
        self._debit(task.request.requester, event.tip_units - task.tip_units)
        self._put(replace(task, tip_units=event.tip_units, priced_at=event.priced_at))

    @_step.register
    def _claim(self, event: TaskClaimed) -> None:
        task = self._in_state(event.task_id, TaskState.OPEN)
        bond = self._bond(task)
        self._debit(event.worker, bond)
        self._locked[event.worker] = self._locked.get(event.worker, 0) + bond
        self._put(
            replace(
                task,
                state=TaskState.LEASED,
                worker=event.worker,
                claimed_at=event.at.timestamp,
                until=event.until,
            )
        )

    @_step.register
    def _end_lease(self, event: LeaseLapsed | LeaseReleased) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        bond = self._bond(task)
        if event.worker != task.worker or event.burned_units > bond:
            raise ImpossibleHistory("lease", event.worker, f"the lease is {task.worker}'s, its bond {bond}")
        self._unlock(task.worker, bond)
        self._credit(task.worker, bond - event.burned_units)
        self._burned += event.burned_units
        self._put(replace(task, state=TaskState.OPEN, worker="", claimed_at=0, until=0))

    @_step.register
    def _post_batch(self, event: BatchPosted) -> None:
        self._batches[event.root] = (event.worker, event.count)

    @_step.register
    def _post(self, event: ResultPosted) -> None:
        task = self._in_state(event.task_id, TaskState.LEASED)
        if self._batches.get(event.root, ("", 0))[0] != task.worker:
            raise ImpossibleHistory("batch", event.root, f"not posted by the lease's holder {task.worker}")
        self._put(
            replace(
                task,
                state=TaskState.POSTED,
                until=event.window_end,
                posted_at=event.at.timestamp,
                root=event.root,
                body=event.body,
                output_tokens=event.output_tokens,
            )
        )

    @_step.register
    def _settle(self, event: TaskSettled) -> None:
        task = self._in_state(event.task_id, TaskState.POSTED)
        request = task.request
        charge = charge_units(
            request.max_fee_units, request.flat_percent, task.output_tokens, request.max_output_tokens
        )
        paid = charge + task.tip_units
        refunded = _escrow(task) - paid
        if (event.worker, event.paid_units, event.refunded_units) != (task.worker, paid, refunded):
            raise ImpossibleHistory(
                "settlement", event.task_id, f"{task.worker} is due {paid}, refund {refunded}"
            )
        bond = self._bond(task)
        self._unlock(task.worker, bond)
        self._credit(task.worker, bond + paid)
        self._credit(request.requester, refunded)
        self._put(
            replace(
                task,
                state=TaskState.SETTLED,
                ended_at=event.at.timestamp,
                paid_units=paid,
                refunded_units=refunded,
            )
        )

    @_step.register
    def _refund(self, event: TaskRefunded) -> None:
        task = self._in_state(event.task_id, TaskState.OPEN)
        if event.refunded_units != _escrow(task):
            raise ImpossibleHistory("refund", event.refunded_units, f"the escrow is {_escrow(task)}")
        self._credit(task.request.requester, event.refunded_units)
        self._put(
            replace(
                task,
                state=TaskState.REFUNDED,
                ended_at=event.at.timestamp,
                refunded_units=event.refunded_units,
                refund_reason=event.reason,
            )
        )

    def _in_state(self, task_id: bytes, state: TaskState) -> TaskView:
        task = self.task(task_id)
        if task.state is not state:
            raise ImpossibleHistory("task", task_id, f"it is {task.state.name}, the event needs {state.name}")
        return task

    def _put(self, task: TaskView) -> None:
        self._tasks[task.task_id] = task

    def _bond(self, task: TaskView) -> int:
        return bond_units_total(task.request.bond_units, self._bond_unit_units)

    def _credit(self, holder: str, units: int) -> None:
        self._free[holder] = self._free.get(holder, 0) + units

    def _debit(self, holder: str, units: int) -> None:
        left = self._free.get(holder, 0) - units
        if left < 0 or units < 0:
            raise ImpossibleHistory("balance", holder, f"{units} taken, {left + units} there")
        self._free[holder] = left

    def _unlock(self, holder: str, units: int) -> None:
        self._locked[holder] = self._locked.get(holder, 0) - units


def _request_escrow(request: Request, tip_units: int) -> int:
    return escrow_units(request.max_fee_units, request.replicas, tip_units)


def _escrow(task: TaskView) -> int:
    return _request_escrow(task.request, task.tip_units)
