"""A clock for waiting and for leases, which nobody can put forward or back: seconds go by as they do."""

import time

_STARTED_AT = time.time() - time.monotonic()


def steady_secs() -> float:
    """Unix seconds as this machine had them when the program started, carried on from there."""
    return _STARTED_AT + time.monotonic()
