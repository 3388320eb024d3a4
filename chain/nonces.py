"""What a key's nonces tell of nodes that lag and of chains that were reorganised."""

from collections.abc import Callable, Iterable

# A node that lags catches up sooner; what stays longer is the chain.
STRANGE_SECS = 2.0


class Nonces:
    """Fed with the count of mined transactions whenever it is read; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._highest = 0
        self._lower_since: float | None = None
        self._gap = -1
        self._gap_since = 0.0

    def steady(self, mined: int) -> bool:
        """Whether the count may be built on. One that is lower than before is a lagging node's, or that of a chain
        which lost a transaction of ours: signed on the first, a transaction would take a used nonce.
        """
        if mined < self._highest:
            since = self._lower_since = self._clock() if self._lower_since is None else self._lower_since
            if self._clock() - since < STRANGE_SECS:
                return False
        self._highest, self._lower_since = mined, None
        return True

    def gap(self, mined: int, waiting: Iterable[int]) -> int | None:
        """The nonce that nobody uses though later ones wait for it, once that has lasted: its transaction was mined,
        and ended for us, in a block that is orphaned.
        """
        lowest = min(waiting, default=mined)
        if lowest <= mined:
            self._gap = -1
            return None
        if self._gap != mined:
            self._gap, self._gap_since = mined, self._clock()
        return mined if self._clock() - self._gap_since >= STRANGE_SECS else None
