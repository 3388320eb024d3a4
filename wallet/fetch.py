"""Where an answer is: in a store the requester names, the one its worker announced, or a common one."""

from collections.abc import Callable, Sequence

from chain.store import (
    ANNOUNCED_SCHEMES,
    ContentMissing,
    ContentStore,
    StoreUnavailable,
    output_key,
    receipt_key,
    scheme_of,
)
from protocol.batchfile import DEFAULT_LIMITS, InputFile, read_input
from protocol.domain import Domain
from protocol.errors import QuernError
from protocol.lifecycle import TaskView
from protocol.receipt import MAX_RECEIPT_BYTES
from wallet.answer import Answer, read_answer, require_posted
from wallet.view import Snapshot


def fetch_answer(
    domain: Domain,
    task: TaskView,
    snapshot: Snapshot,
    now: int,
    own: ContentStore,
    *,
    is_named: bool = False,
    decode: Callable[[Sequence[int]], str] | None = None,
) -> Answer:
    """The answer of a posted task and every check that could be made about it.

    `own` is the requester's store, which holds the input; `is_named` means that the answer is to be read from
    there and nowhere else. Raises NoAnswerYet, NoAnswerEver, ContentMissing, StoreUnavailable, TooLarge,
    MalformedOutput, BadReceipt.
    """
    require_posted(task, now)
    # Of several workers that agree, any one's store will do.
    announced = [place for worker in task.winners for place in announced_stores(snapshot.stores.get(worker))]
    places = [own] if is_named else [*announced, own]
    output, receipt = _first(task.task_id, places)
    batch = snapshot.batches.get(task.root, ())
    return read_answer(domain, task, batch, output, receipt, _asked(task, own), decode)


def announced_stores(url: str | None) -> list[ContentStore]:
    """The store a worker announced, if it announced one that may be read."""
    if url is None or scheme_of(url) not in ANNOUNCED_SCHEMES:
        return []
    try:
        return [ContentStore(url, read_only=True)]
    except QuernError:
        return []


def _first(task_id: bytes, places: Sequence[ContentStore]) -> tuple[bytes, bytes]:
    """From the first store that has both; the last one's error if none has."""
    *others, last = places
    for place in others:
        try:
            return _both(task_id, place)
        except (ContentMissing, StoreUnavailable):
            continue
    return _both(task_id, last)


def _both(task_id: bytes, place: ContentStore) -> tuple[bytes, bytes]:
    return (
        place.get(output_key(task_id), DEFAULT_LIMITS.max_bytes),
        place.get(receipt_key(task_id), MAX_RECEIPT_BYTES),
    )


def _asked(task: TaskView, own: ContentStore) -> InputFile | None:
    """The input, if the requester's store still has it as it was."""
    request = task.request
    if "://" in request.input_uri:
        return None
    try:
        return read_input(own.get_checked(request.input_uri, request.input_digest, DEFAULT_LIMITS.max_bytes))
    except QuernError:
        return None
