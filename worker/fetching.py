"""Inputs on their way in: read, checked and tokenised on pool threads, taken out by the reconciler."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from worker.artefacts import lies_outside
from worker.codes import Reason
from worker.inputs import CheckedInput, InputReader
from worker.models import ServedModel
from worker.refusals import InputRefused, StoreAway
from worker.selection import Chooser
from worker.task import Task

LOG = logging.getLogger("quern.worker")
_FETCHERS = 4
_MOST_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Fetched:
    """`checked` where the input is sound, `refused` where it is not; neither where the store did not answer."""

    task_id: bytes
    checked: CheckedInput | None = None
    refused: Reason | None = None


class Fetcher:
    """`wake` is called, from a pool thread, whenever there is something to take."""

    def __init__(
        self,
        reader: InputReader,
        chooser: Chooser,
        models: Mapping[bytes, ServedModel],
        wake: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._chooser = chooser
        self._models = models
        self._wake = wake
        self._fetched: SimpleQueue[Fetched] = SimpleQueue()
        self._inside = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        # Servers that strangers name may be slow: nobody else's input waits behind them.
        self._outside = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch-outside")

    def fetch(self, tasks: Sequence[Task]) -> None:
        """Start reading; returns at once."""
        inside = []
        for task in tasks:
            if lies_outside(task.request.input_uri):
                self._outside.submit(self._fetch, [task])
            else:
                inside.append(task)
        together = max(1, min(_MOST_TOGETHER, len(inside) // _FETCHERS))
        for start in range(0, len(inside), together):
            self._inside.submit(self._fetch, inside[start : start + together])

    def take(self) -> list[Fetched]:
        """What came since the last call."""
        return [self._fetched.get() for _ in range(self._fetched.qsize())]

    def close(self) -> None:
        for pool in (self._inside, self._outside):
            pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._fetched.put(self._read(task))
        self._wake()

    def _read(self, task: Task) -> Fetched:
        """Read, check, tokenise, and let the meta-model bound the time."""
        try:
            checked = self._reader.read(task.request)
            return Fetched(
                task.id, checked=self._chooser.with_bound(self._models[task.request.model_id], checked)
            )
        except InputRefused as error:
            return Fetched(task.id, refused=error.reason)
        except StoreAway as error:
            LOG.warning("input of 0x%s: %s", task.id.hex(), error)
            return Fetched(task.id)
        except Exception as error:
            # A stranger's input reached a defect of ours: refuse it, say so, go on.
            LOG.exception("input of 0x%s", task.id.hex())
            return Fetched(task.id, refused=Reason("FETCH-008", f"{type(error).__name__}: {error}"))
