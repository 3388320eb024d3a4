"""Step 3: the receipt in the store is the one that was posted, or the one that the quorum agreed on."""

from auditor.case import Case, posted_in_batch
from auditor.findings import Finding, Refuted, counted
from auditor.round_step import check_round
from chain.market import Market
from protocol.digest import to_hex
from protocol.errors import QuernError
from protocol.lifecycle import BatchPosted, ResultPosted
from protocol.merkle import batch_root
from protocol.receipt import Receipt, ReceiptDocument, body_digest, leaf, verdict


def recompute_receipt(case: Case, market: Market) -> Finding:
    """Step 3, for a task of one replica or of several."""
    return _recompute_agreed(case, market) if case.task.replicated else _recompute_posted(case)


def _recompute_posted(case: Case) -> Finding:
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
    document = _sound_document(case)
    receipt = document.receipt()
    if document.body.task_id != case.task_id or document.body.worker != poster.worker:
        raise Refuted(f"the receipt is for task {to_hex(document.body.task_id)} by {document.body.worker}")
    if (receipt.body, receipt.output_tokens) != (posted.body, posted.output_tokens):
        raise Refuted(
            f"the stored receipt hashes to {to_hex(receipt.body)} with {receipt.output_tokens} tokens, "
            f"posted was {to_hex(posted.body)} with {posted.output_tokens}"
        )
    return Finding(
        f"the receipt in the store ({counted(posted.output_tokens, 'output token')}) hashes to what was posted for "
        f"this task, and {_batch_words(case, batch)} to the Merkle root that {poster.worker} posted",
        {"batch_root": to_hex(root), "batch_size": len(batch), "output_tokens": posted.output_tokens},
    )


def _recompute_agreed(case: Case, market: Market) -> Finding:
    """Any winner's receipt will do: all have the same verdict."""
    counting = check_round(case, market)
    if not case.task.posted_at:
        return counting  # no quorum: there is nothing that anybody's receipt could be held against
    task = case.result
    document = _sound_document(case)
    worker = document.body.worker
    seat = task.seat_of(worker)
    if seat is None or seat.verdict != task.verdict:
        raise Refuted(f"the stored receipt is by {worker}, who is none of the winners")
    body = body_digest(case.deployment.domain, document.body)
    if document.body.task_id != case.task_id or body != seat.body:
        raise Refuted(f"the stored receipt hashes to {to_hex(body)}, {worker} revealed {to_hex(seat.body)}")
    found = verdict(document.body, document.output_tokens)
    if found != task.verdict:
        raise Refuted(
            f"the stored receipt has the verdict {to_hex(found)}, agreed was {to_hex(task.verdict)}"
        )
    return Finding(
        f"{counting.sentence}; the receipt in the store ({counted(document.output_tokens, 'output token')}) hashes to "
        f"what {worker} revealed",
        {**counting.figures, "output_tokens": document.output_tokens},
    )


def _sound_document(case: Case) -> ReceiptDocument:
    document = case.document
    try:
        document.check()
    except QuernError as error:
        raise Refuted(f"the receipt does not match its own digests ({error})") from error
    return document


def _batch_words(case: Case, batch: list[ResultPosted]) -> str:
    if len(batch) == 1:
        return "as a batch of one"
    place = 1 + [item.task_id for item in batch].index(case.task_id)
    return f"with the others of its batch (it is number {place} of {len(batch)})"
