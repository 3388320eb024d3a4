"""Jobs that a worker has settled, as it learns from them: their receipts in a store, of whatever time a test says."""

from collections.abc import Sequence
from dataclasses import replace

from chain.store import ContentStore, receipt_key
from metainf import HardwareFacts, ModelFacts, SelectionRecord, Selector, catalogue
from protocol.batchfile import OutputEntry, OutputFile
from protocol.domain import Domain
from protocol.lifecycle import TaskState
from tests.auditor.support import MODEL_DIR
from tests.honest import receipt_of
from tests.worker.makers import NOW, task
from worker.task import Task

# Its data sheet promises more than it keeps, above all where much is read.
MACHINE = HardwareFacts("cpu", "test CPU", 1, 16 << 30, 256 << 20, 40_000_000_000, 100_000_000_000)
STRATEGIES = catalogue("cpu", "0.32.0")
FACTS = ModelFacts.from_dir(MODEL_DIR)
SELECTOR = Selector.load()
DOMAIN = Domain(31337, "0x" + "11" * 20)
WORKER = "0x" + "22" * 20


def settled_task(number: int) -> Task:
    """The task of that job, settled after those of lower numbers."""
    return replace(task(number, state=TaskState.SETTLED), mine=True, ended_at=NOW + number)


def store_receipt(
    store: ContentStore,
    number: int,
    record: SelectionRecord,
    entries: Sequence[OutputEntry],
    secs: float,
    worker: str = WORKER,
) -> None:
    """The receipt of that job, chosen as `record` says, with these outputs after so many seconds."""
    one, started = number.to_bytes(32, "big"), 1_000_000 * number
    engine = {"engine": "vllm", "version": "0.32.0"}
    document = receipt_of(OutputFile(tuple(entries)), DOMAIN, one, worker, engine, record.to_json())
    body = replace(document.body, started_at_ms=started, finished_at_ms=started + max(1, round(1000 * secs)))
    store.put(receipt_key(one), replace(document, body=body).encoded())
