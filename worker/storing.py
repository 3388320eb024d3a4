"""Results on their way into the content store, where every posted receipt must be found."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from chain.store import ContentStore, input_key, output_key, receipt_key
from protocol.errors import QuernError
from worker.database import Result
from worker.steps import Step, step

# One waits for a slow store while another takes what has come since.
_STORERS = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """Results that went together, and why not, if they did not get there."""

    task_ids: tuple[bytes, ...]
    failure: QuernError | None


class Storer:
    """`wake` is called, from a pool thread, whenever there is something to take."""

    def __init__(self, store: ContentStore, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        self._stored: SimpleQueue[Stored] = SimpleQueue()
        self._pool = ThreadPoolExecutor(_STORERS, thread_name_prefix="store")

    def store(self, results: Sequence[Result], inputs: Mapping[bytes, bytes]) -> None:
        """Start writing these together; returns at once. `inputs`, by digest, came from places of others, which may
        forget them.
        """
        if results:
            self._pool.submit(self._put, results, inputs)

    def take(self) -> list[Stored]:
        """What ended since the last call."""
        return [self._stored.get() for _ in range(self._stored.qsize())]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _put(self, results: Sequence[Result], inputs: Mapping[bytes, bytes]) -> None:
        failure: QuernError | None = None
        content = {input_key(digest): data for digest, data in inputs.items()}
        for result in results:
            content[output_key(result.task_id)] = result.output
            content[receipt_key(result.task_id)] = result.receipt
        try:
            with step(Step.STORE):
                self._store.put_many(content)
        except QuernError as error:
            failure = error
        self._stored.put(Stored(tuple(result.task_id for result in results), failure))
        self._wake()
