"""Steps 1 and 2: what follows from the chain alone."""

from dataclasses import asdict

from auditor.case import Case
from auditor.findings import Finding, Refuted, counted
from chain.market import Market
from protocol.digest import JsonValue, to_hex
from protocol.lifecycle import DemandState, DemandView, RefundReason, SeatState, TaskState, TaskView
from protocol.replay import AccountView, ImpossibleHistory
from protocol.request import task_id

_WAITING = (TaskState.OPEN, TaskState.LEASED)
_IN_ROUND = (TaskState.LEASED, TaskState.POSTED, TaskState.DISPUTED, TaskState.SETTLED)


def recompute_id(case: Case) -> Finding:
    """Step 1: the id in the event is the EIP-712 digest of the request in the event."""
    request, show = case.submitted.request, case.deployment.currency.show
    found = task_id(case.deployment.domain, request)
    if found != case.task_id:
        raise Refuted(f"the request hashes to {to_hex(found)}: its event was altered")
    each = f" each of {request.replicas} replicas" if request.replicas > 1 else ""
    return Finding(
        f"the request of {request.requester}, for at most {show(request.max_fee_units)}{each} and a tip of "
        f"{show(request.tip_units)}, hashes to this id"
    )


def replay_and_compare(case: Case, market: Market) -> Finding:
    """Step 2: the history is one that the contract can make, and ends in what the contract stores."""
    try:
        view = case.view
    except ImpossibleHistory as error:
        raise Refuted(f"the events cannot all be true ({error})") from error
    task = view.tasks[case.task_id]
    demands = {leaf: demand for (owner, leaf), demand in view.demands.items() if owner == case.task_id}
    show = case.deployment.currency.show
    _compare_task(market, task)
    _compare_round(market, task)
    _compare_dispute(market, task, demands)
    for holder in sorted(_parties(case, task, demands)):
        _compare_account(market, holder, view.accounts.get(holder, AccountView()))
    totals = view.totals
    _compare("burned", totals.burned_units, market.burned_units())
    held, stayed = totals.held_units, totals.deposited_units - totals.withdrawn_units
    if held != stayed:
        raise Refuted(f"{show(stayed)} came in and stayed, {show(held)} are accounted for")
    there = market.balance_units()
    if there < held:
        raise Refuted(f"the market holds {show(there)} and owes {show(held)}")
    return Finding(
        f"{len(case.history.events)} events replay to what the market stores: the task is "
        f"{task.state.name.lower()}{_ending(case, task)}{_held_against(task, demands)}; "
        f"all {show(held)} in the market are accounted for",
        {
            "state": task.state.name,
            "paid_units": task.paid_units,
            "refunded_units": task.refunded_units,
            "seats": _seat_figures(task),
            "demands": [
                {"leaf": leaf, "demander": demand.demander, "state": demand.state.name.lower()}
                for leaf, demand in demands.items()
            ],
            "challenger": task.challenger or None,
            "faulty": task.faulty,
            **asdict(totals),
        },
    )


def _compare_task(market: Market, task: TaskView) -> None:
    stored = market.task(task.task_id)
    request = task.request
    if task.state is not TaskState.REFUNDED:  # a refunded task's slot keeps the lease that lapsed
        _compare("worker", task.worker, stored.worker)
        _compare("until", task.until, stored.until)
    if task.state in (TaskState.OPEN, TaskState.LEASED):  # later its bits count the open demands
        _compare("priced at", task.priced_at, stored.priced_at)
    for field, replayed, found in (
        ("state", task.state, stored.state),
        ("requester", request.requester, stored.requester),
        ("tip", task.tip_units, stored.tip_units),
        ("max fee", request.max_fee_units, stored.max_fee_units),
        ("deadline", request.deadline, stored.deadline),
        ("max output tokens", request.max_output_tokens, stored.max_output_tokens),
        ("output tokens", task.output_tokens, stored.output_tokens),
    ):
        _compare(field, replayed, found)
    if task.state in _WAITING:  # later the market keeps something else in its place
        _compare("priced at", task.priced_at, stored.priced_at)
    if task.state in (TaskState.POSTED, TaskState.DISPUTED):
        _compare("open demands", task.open_demands, stored.open_demands)


def _compare_round(market: Market, task: TaskView) -> None:
    """Each seat that the market has, with the events of its worker; a refunded task keeps what lay there."""
    if not task.replicated or task.state not in _IN_ROUND:
        return
    stored = market.round(task.task_id)
    _compare("verdict of the round", task.verdict.rjust(32, b"\0"), stored.verdict)
    for seat in stored.seats:
        if seat.state is SeatState.EMPTY:
            continue
        told = task.seat_of(seat.worker)
        if told is None:
            raise Refuted(f"the market has a seat of {seat.worker}, of which no event tells")
        # Whoever was paid has left: only the events remember that its verdict had won.
        paid = told.state is SeatState.WON and task.state is TaskState.SETTLED
        _compare(f"seat of {seat.worker}", SeatState.LEFT if paid else told.state, seat.state)
        _compare(f"output tokens of {seat.worker}", told.output_tokens, seat.output_tokens)
        if seat.state is not SeatState.LEASED:
            _compare(f"digest of {seat.worker}", told.verdict or told.commitment or seat.digest, seat.digest)


def _compare_dispute(market: Market, task: TaskView, demands: dict[int, DemandView]) -> None:
    _compare("challenger", task.challenger, market.dispute(task.task_id).challenger)
    for leaf, demand in demands.items():
        stored = market.open_demand(task.task_id, leaf)
        _compare(f"demander of leaf {leaf}", demand.demander, stored.demander)
        until = demand.until if demand.state is DemandState.OPEN else 0
        _compare(f"end of the demand of leaf {leaf}", until, stored.until)


def _parties(case: Case, task: TaskView, demands: dict[int, DemandView]) -> set[str]:
    """Everybody whose money the task has moved."""
    found = {task.request.requester, task.worker, task.challenger, *(seat.worker for seat in task.seats)}
    found |= {demand.demander for demand in demands.values()}
    if task.faulty is not None:
        found.add(case.deployment.arbiter)
    return found - {""}


def _compare_account(market: Market, holder: str, replayed: AccountView) -> None:
    stored = market.account(holder)
    _compare(f"free balance of {holder}", replayed.free_units, stored.free_units)
    _compare(f"bonds of {holder}", replayed.locked_units, stored.locked_units)


def _compare(field: str, replayed: object, stored: object) -> None:
    if replayed != stored:
        raise Refuted(f"{field}: the events give {replayed!r}, the market stores {stored!r}")


def _ending(case: Case, task: TaskView) -> str:
    if not task.ended_at:
        return ""
    show = case.deployment.currency.show
    why = ""
    if task.state is TaskState.REFUNDED:
        why = f" ({RefundReason(task.refund_reason).name.lower().replace('_', ' ')})"
    return f"{why}, {show(task.paid_units)} paid and {show(task.refunded_units)} refunded"


def _held_against(task: TaskView, demands: dict[int, DemandView]) -> str:
    said = []
    if demands:
        states = [demand.state for demand in demands.values()]
        ended = ", ".join(
            f"{states.count(state)} {state.name.lower()}" for state in DemandState if state in states
        )
        said.append(f"{counted(len(demands), 'demand')} ({ended})")
    if task.challenger:
        ruling = {None: "without a ruling", True: "ruled faulty", False: "ruled sound"}[task.faulty]
        said.append(f"challenged by {task.challenger}, {ruling}")
    return "".join(f"; {words}" for words in said)


def _seat_figures(task: TaskView) -> JsonValue:
    return [
        {
            "worker": seat.worker,
            "state": seat.state.name.lower(),
            "output_tokens": seat.output_tokens,
            "paid_units": seat.paid_units,
        }
        for seat in task.seats
    ]
