"""Learning from this worker's own settled jobs: by how much the meta-model is off here, as numbers for its choices.

Receipts are read back from the content store, so a worker that lost its database has lost nothing it learned.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

from chain.store import ContentStore
from metainf.corrector import Corrector
from metainf.harvest import Job, Served, jobs, residual
from metainf.online import Residual, still_valid
from worker.database import Database
from worker.receipts import own_receipt
from worker.selection import Chooser

LOG = logging.getLogger("quern.worker.learning")
# A worker looks so often for what has settled.
REFRESH_SECS = 300.0
# Tasks looked back on; corrections forget older ones anyway.
_REMEMBERED_TASKS = 400


class Learning:
    """`refresh` is for the scheduler's thread: it takes the lock only to read the database."""

    def __init__(
        self,
        database: Database,
        store: ContentStore,
        chooser: Chooser,
        lock: AbstractContextManager[object],
        me: str,
    ) -> None:
        self._database = database
        self._store = store
        self._chooser = chooser
        self._lock = lock
        self._me = me
        self._read: dict[bytes, Served | None] = {}

    def refresh(self) -> None:
        """Take in what settled since the last time and correct the chooser. Does not raise for what it cannot read."""
        with self._lock:
            settled = self._database.settled(_REMEMBERED_TASKS)
        known = self._read
        self._read = {
            task_id: known[task_id] if task_id in known else own_receipt(self._store, task_id, self._me)
            for task_id in settled
        }
        found = jobs(part for part in self._read.values() if part is not None)
        # What another meta-model was off by says nothing of this one.
        ours = [job for job in found if job.record.meta_model_digest == self._chooser.meta_model_digest]
        here = [job for job in ours if job.record.hardware.name == self._chooser.hardware.name]
        learned = correctors(self._residuals(here))
        if learned != self._chooser.correctors:
            self._chooser.correct(learned)
            counted = sum(len(each.residuals) for each in learned.values())
            LOG.info("corrected by %d jobs that ran alone, for %d kinds of model", counted, len(learned))

    def _residuals(self, found: list[Job]) -> Iterator[Residual]:
        """Of those jobs whose strategy this machine still has."""
        for job in found:
            strategy = self._chooser.strategy_of(job.record.chosen_digest)
            if strategy is not None:
                yield residual(job, strategy)


def correctors(residuals: Iterable[Residual]) -> Mapping[str, Corrector]:
    """By model family, from what versions of the engine still count."""
    by_family: dict[str, list[Residual]] = defaultdict(list)
    for each in residuals:
        by_family[each.model_family].append(each)
    return {family: Corrector.of(still_valid(found)) for family, found in sorted(by_family.items())}
