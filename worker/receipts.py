"""The worker's own receipts, read back from the store."""

import logging

from chain.store import ContentStore, receipt_key
from metainf.harvest import Served
from protocol.errors import QuernError
from protocol.receipt import MAX_RECEIPT_BYTES, ReceiptDocument

LOG = logging.getLogger("quern.worker.receipts")


def own_receipt(store: ContentStore, task_id: bytes, me: str) -> Served | None:
    """What a task of this worker teaches; None, with a warning, where it cannot be read."""
    try:
        document = ReceiptDocument.decode(store.get(receipt_key(task_id), MAX_RECEIPT_BYTES))
        document.check()
        # Of a task with replicas the store keeps any winner's receipt: that may be of another machine.
        return Served.of(document) if document.body.worker == me else None
    except QuernError as error:
        LOG.warning("nothing learned from task %s: %s", task_id.hex()[:8], error)
        return None
