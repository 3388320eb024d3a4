"""Retraining while the worker works: a challenger is trained beside it, and chooses from then on if it is better."""

import json
import logging
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chain.store import ContentStore, meta_model_key
from engine.environment import process_environment
from metainf import Selector
from metainf.model import MetaModel
from protocol.errors import QuernError
from worker.champion import Champion, Retrained, is_retrained
from worker.config import WorkerConfig
from worker.selection import Chooser

LOG = logging.getLogger("quern.worker.retraining")
# At the lowest priority on a busy machine half a minute of computing takes most of an hour.
_LONGEST_SECS = 6 * 3_600.0
# A worker that was away for longer than the period does not begin with it.
_AFTER_START = timedelta(minutes=10)


class Retraining:
    """`run` is for a thread that may wait: minutes, while the challenger's process computes."""

    def __init__(self, config: WorkerConfig, store: ContentStore, chooser: Chooser, me: str) -> None:
        self._config = config
        self._champion = Champion(config)
        self._store = store
        self._chooser = chooser
        self._me = me
        self._guard = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()

    def first(self, now: datetime) -> datetime:
        """When to begin: a period after the last time, whenever the worker was started."""
        period = timedelta(hours=self._config.learning.retrain_hours)
        latest = self._champion.latest()
        if latest is None:
            return now + period
        return max(now + min(_AFTER_START, period), datetime.fromtimestamp(latest.at, UTC) + period)

    def run(self) -> Retrained | None:
        """Train, judge, adopt what is better. Does not raise; None if it was stopped."""
        try:
            found = self._trained(self._config.state_dir / "successor.json")
        except (QuernError, OSError, ValueError, subprocess.SubprocessError) as error:
            found = Retrained(time.time(), "LEARN-003", str(error))
        if found is not None:
            LOG.info("%s", found.reason)
            try:
                self._champion.note(found)
            except OSError as error:
                LOG.warning("not written down: %s", error)
        return found

    def publish(self) -> None:
        """Put the meta-model that chooses into the store, if nobody else has it: the store may be a new one."""
        try:
            current = self._champion.load()
            if is_retrained(current):
                self._put(current)
        except QuernError as error:
            LOG.warning("the meta-model is not in the store yet: %s", error)

    def stop(self) -> None:
        """End the process, if one runs, and start none any more."""
        with self._guard:
            self._stopped.set()
            if self._process is not None:
                self._process.kill()

    def _trained(self, successor: Path) -> Retrained | None:
        order = {
            "config": self._config.model_dump(mode="json"),
            "worker": self._me,
            "successor": str(successor),
        }
        niceness = str(self._config.learning.niceness)
        with self._guard:
            if self._stopped.is_set():
                return None
            self._process = subprocess.Popen(
                ["nice", "-n", niceness, sys.executable, "-m", "worker.challenger"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # Ctrl-C is for the worker, which ends this itself.
                start_new_session=True,
                env=process_environment({"OMP_NUM_THREADS": "1"}),
            )
        with self._process as process:
            try:
                answered, complaints = process.communicate(json.dumps(order), _LONGEST_SECS)
            except BaseException:
                process.kill()
                raise
        if self._stopped.is_set():
            return None
        if process.returncode:
            said = (complaints.strip().splitlines() or [f"it ended with {process.returncode}"])[-1]
            return Retrained(time.time(), "LEARN-003", said)
        answer = json.loads(answered)
        if not answer["promoted"]:
            return Retrained(time.time(), "LEARN-002", answer["sentence"])
        digest = self._adopt(MetaModel.load(successor))
        successor.unlink()
        return Retrained(time.time(), "LEARN-001", f"{answer['sentence']}; {digest} chooses from now on")

    def _adopt(self, learned: MetaModel) -> str:
        """First where an auditor finds it, then where the next start finds it, then in use."""
        selector = Selector(learned)
        self._put(learned)
        self._champion.keep(learned)
        self._chooser.adopt(selector)
        return selector.meta_model_digest

    def _put(self, learned: MetaModel) -> None:
        self._store.put(meta_model_key(bytes.fromhex(learned.digest()[2:])), learned.to_bytes())
