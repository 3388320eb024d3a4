"""Whether the worker goes on: who has asked it to end, whether at once, and when it ends in any case."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("quern.worker")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Drain:
    """`draining`: no more work is taken, what is claimed is finished. `stopping`: everything ends now.

    Plain attributes without a lock: a signal handler sets them, and the code that it interrupted may hold any lock.
    """

    def __init__(self, drain_secs: float) -> None:
        self._drain_secs = drain_secs
        self._until = float("inf")
        self.draining = self.stopping = False

    @property
    def left_secs(self) -> float:
        """Until the worker ends even if work is left; infinite while nobody has asked it to end."""
        return self._until - time.monotonic()

    def ask(self, *, now: bool) -> None:
        """Drain, or stop `now`. Asking again does not put the end off."""
        self._until = min(self._until, time.monotonic() + self._drain_secs)
        self.draining = True
        self.stopping = self.stopping or now

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """The first of SIGTERM, SIGINT and SIGHUP drains, a further one stops; the handlers before come back after."""
        # Only a process's main thread may take signals; elsewhere `ask` does the same.
        numbers = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in numbers
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        # A terminal that closes may say so more than once.
        now = self.draining and number != signal.SIGHUP
        LOG.info("%s: %s", signal.Signals(number).name, "stopping at once" if now else "draining")
        # The main loop sees it within a moment. Waking it takes the event's lock, which the code that the signal
        # interrupted may hold: the process would wait for itself for ever.
        self.ask(now=now)
