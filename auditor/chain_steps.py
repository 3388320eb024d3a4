"""Steps 1 to 3: what follows from the chain alone, and the receipt that was committed to."""

from dataclasses import asdict

from auditor.case import Case, posted_in_batch
from auditor.findings import Finding, Refuted, counted
from chain.market import Market
from protocol.digest import to_hex
from protocol.errors import QuernError
from protocol.lifecycle import BatchPosted, ResultPosted, TaskState, TaskView
from protocol.merkle import batch_root
from protocol.receipt import Receipt, leaf
from protocol.replay import AccountView, ImpossibleHistory
from protocol.request import task_id


def recompute_id(case: Case) -> Finding:
    """Step 1: the id in the event is the EIP-712 digest of the request in the event."""
    request = case.submitted.request
    found = task_id(case.deployment.domain, request)
    if found != case.task_id:
        raise Refuted(f"the request hashes to {to_hex(found)}: its event was altered")
    return Finding(
        f"the request of {request.requester}, for at most {request.max_fee_units:,} gwei and a tip of "
        f"{request.tip_units:,}, hashes to this id"
    )


def replay_and_compare(case: Case, market: Market) -> Finding:
    """Step 2: the history is one that the contract can make, and ends in what the contract stores."""
    try:
        view = case.view
    except ImpossibleHistory as error:
        raise Refuted(f"the events cannot all be true ({error})") from error
    task = view.tasks[case.task_id]
    _compare_task(market, task)
    for holder in {task.request.requester, task.worker} - {""}:
        _compare_account(market, holder, view.accounts.get(holder, AccountView()))
    totals = view.totals
    _compare("burned", totals.burned_units, market.burned_units())
    held, stayed = totals.held_units, totals.deposited_units - totals.withdrawn_units
    if held != stayed:
        raise Refuted(f"{stayed} gwei came in and stayed, {held} are accounted for")
    if market.balance_units() < held:
        raise Refuted(f"the market holds {market.balance_units()} gwei of ether and owes {held}")
    return Finding(
        f"{len(case.history.events)} events replay to what the market stores: the task is "
        f"{task.state.name.lower()}{_money(task)}; all {held:,} gwei in the market are accounted for",
        {
            "state": task.state.name,
            "paid_units": task.paid_units,
            "refunded_units": task.refunded_units,
            **asdict(totals),
        },
    )


def recompute_receipt(case: Case) -> Finding:
    """Step 3: the stored receipt is the one that was posted, in the batch that was posted."""
    posted = case.posted
    batch = posted_in_batch(case.history.events, posted.root)
    leaves = [leaf(Receipt(item.task_id, item.body, item.output_tokens)) for item in batch]
    root = batch_root(leaves)
    if root != posted.root:
        raise Refuted(
            f"the {len(batch)} receipts of its batch hash to {to_hex(root)}, posted was {to_hex(posted.root)}"
        )
    poster = next(
        (event for event in case.history.events if isinstance(event, BatchPosted) and event.root == root),
        None,
    )
    if poster is None or poster.count != len(batch):
        raise Refuted(
            f"the batch was announced with {poster.count if poster else 0} receipts and has {len(batch)}"
        )
    document = case.document
    try:
        document.check()
    except QuernError as error:
        raise Refuted(f"the receipt does not match its own digests ({error})") from error
    receipt = document.receipt()
    if document.body.task_id != case.task_id or document.body.worker != poster.worker:
        raise Refuted(f"the receipt is for task {to_hex(document.body.task_id)} by {document.body.worker}")
    if (receipt.body, receipt.output_tokens) != (posted.body, posted.output_tokens):
        raise Refuted(
            f"the stored receipt hashes to {to_hex(receipt.body)} with {receipt.output_tokens} tokens, "
            f"posted was {to_hex(posted.body)} with {posted.output_tokens}"
        )
    return Finding(
        f"the stored receipt of {counted(posted.output_tokens, 'output token')} is leaf {_place(case, batch)} "
        f"of {len(batch)} under the root {poster.worker} posted",
        {"batch_root": to_hex(root), "batch_size": len(batch), "output_tokens": posted.output_tokens},
    )


def _compare_task(market: Market, task: TaskView) -> None:
    stored = market.task(task.task_id)
    request = task.request
    if task.state is not TaskState.REFUNDED:  # a refunded task's slot keeps the lease that lapsed
        _compare("worker", task.worker, stored.worker)
        _compare("until", task.until, stored.until)
    for field, replayed, found in (
        ("state", task.state, stored.state),
        ("requester", request.requester, stored.requester),
        ("tip", task.tip_units, stored.tip_units),
        ("max fee", request.max_fee_units, stored.max_fee_units),
        ("deadline", request.deadline, stored.deadline),
        ("priced at", task.priced_at, stored.priced_at),
        ("max output tokens", request.max_output_tokens, stored.max_output_tokens),
        ("output tokens", task.output_tokens, stored.output_tokens),
    ):
        _compare(field, replayed, found)


def _compare_account(market: Market, holder: str, replayed: AccountView) -> None:
    stored = market.account(holder)
    _compare(f"free balance of {holder}", replayed.free_units, stored.free_units)
    _compare(f"bonds of {holder}", replayed.locked_units, stored.locked_units)


def _compare(field: str, replayed: object, stored: object) -> None:
    if replayed != stored:
        raise Refuted(f"{field}: the events give {replayed!r}, the market stores {stored!r}")


def _money(task: TaskView) -> str:
    if not task.ended_at:
        return ""
    return f", {task.paid_units:,} gwei paid and {task.refunded_units:,} refunded"


def _place(case: Case, batch: list[ResultPosted]) -> int:
    return 1 + [item.task_id for item in batch].index(case.task_id)
