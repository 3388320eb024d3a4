"""What this worker can show of its results: from its own database, or from the store they were put into."""

from chain.store import ContentStore, StoreUnavailable, output_key, receipt_key
from protocol.batchfile import FileLimits, read_output
from protocol.errors import QuernError
from protocol.evidence import Answer, make_answer
from protocol.receipt import MAX_RECEIPT_BYTES, Body, ReceiptDocument, leaf
from worker.codes import Reason
from worker.database import Database
from worker.task import Task

_MAX_OUTPUT_BYTES = 1 << 30


class NothingToShow(Exception):
    """What is asked for is not here any more, or not what was posted; `reason` is what `why` will print."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Evidence:
    """Reads; changes nothing. Raises StoreUnavailable where the store must be asked and is away."""

    def __init__(self, database: Database, store: ContentStore) -> None:
        self._database = database
        self._store = store

    def answer(self, task: Task, leaf_index: int) -> Answer:
        """Shows one leaf of an output. Raises NothingToShow."""
        body, output = self._files(task)
        limits = FileLimits(_MAX_OUTPUT_BYTES, _MAX_OUTPUT_BYTES, task.request.max_output_tokens + 1)
        try:
            tokens = read_output(output, limits).token_ids()
            if task.replicated:
                return make_answer(body, tokens, leaf_index)
            receipts = self._database.batch(task.root)
            position = next(place for place, each in enumerate(receipts) if each.task_id == task.id)
            return make_answer(body, tokens, leaf_index, [leaf(each) for each in receipts], position)
        except (QuernError, StopIteration) as error:
            raise NothingToShow(Reason("DEMAND-003", f"the output cannot be used: {error}")) from error

    def _files(self, task: Task) -> tuple[Body, bytes]:
        task_id, known = task.id, self._database.results([task.id]).get(task.id)
        try:
            if known is not None and task.body in {b"", known.body}:
                return ReceiptDocument.decode(known.receipt).body, known.output
            receipt = self._store.get(receipt_key(task_id), MAX_RECEIPT_BYTES)
            return ReceiptDocument.decode(receipt).body, self._store.get(
                output_key(task_id), _MAX_OUTPUT_BYTES
            )
        except StoreUnavailable:
            raise
        except QuernError as error:
            raise NothingToShow(Reason("DEMAND-003", f"the result is not here: {error}")) from error
