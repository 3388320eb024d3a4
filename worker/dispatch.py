"""The way out of transactions, on a thread of its own: signing, sending and hearing what became of them waits for the
node, and while it does the worker decides, generates and stores.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from protocol.errors import QuernError

LOG = logging.getLogger("quern.worker")
# Between blocks nothing becomes of what was sent, and what is amiss may wait so long.
_LOOK_SECS = 0.5
_COMPLAINT_SECS = 30.0


class Outgoing(Protocol):
    """What the dispatcher needs of an outbox."""

    planned: bool

    @property
    def open(self) -> Sequence[object]: ...

    def pump(self) -> bool: ...


class Dispatcher:
    """Pumps the outbox whenever `nudge` says that there may be something to do; only its thread sends.

    `wake` is called when there are outcomes to take, or `failure` was set: the database cannot be written, or a defect
    of ours. Nothing is sent after that.
    """

    def __init__(self, outbox: Outgoing, wake: Callable[[], None]) -> None:
        self._outbox = outbox
        self._wake = wake
        self._nudged = threading.Event()
        self._stopping = False
        self._block, self._seen_block = -1, -2
        self._looked_at = 0.0
        self._again = False
        self._complaint = ("", 0.0)
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, name="dispatch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def nudge(self, block_taken_in: int) -> None:
        """Returns at once. What was planned before the call is durable, and goes out."""
        self._block = block_taken_in
        self._nudged.set()

    def stop(self) -> None:
        """Once the node has answered what it was just asked."""
        self._stopping = True
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while True:
            self._nudged.wait()
            self._nudged.clear()
            if self._stopping:
                return
            try:
                if self._is_due():
                    self._dispatch()
            except BaseException as failure:  # noqa: BLE001 the main thread raises it
                self.failure = failure
                self._wake()
                return

    def _is_due(self) -> bool:
        """Something was planned, a new block was taken in, or nobody has looked for a while."""
        late = time.monotonic() - self._looked_at >= _LOOK_SECS
        return bool(self._outbox.open) and (
            late or (not self._again and (self._outbox.planned or self._block != self._seen_block))
        )

    def _dispatch(self) -> None:
        self._seen_block, self._looked_at, self._again = self._block, time.monotonic(), False
        try:
            if self._outbox.pump():
                self._wake()
        except QuernError as error:
            # The node is away or refuses: what is planned stays planned, and is looked at when that may have passed.
            self._again = True
            self._complain(str(error))

    def _complain(self, what: str) -> None:
        """Once in a while, however often it happens."""
        if what != self._complaint[0] or time.monotonic() - self._complaint[1] > _COMPLAINT_SECS:
            self._complaint = (what, time.monotonic())
            LOG.warning("%s", what)
