"""The garbage collector around a start: what a worker is made of stays, so there is nothing to find in it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_COLLECT_AFTER = 20_000


@contextmanager
def left_alone() -> Iterator[None]:
    """No collection inside: the objects of imports come by the ten thousand, and each of them is kept."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def keep_what_is_loaded() -> None:
    """From now on the collector does not walk through it, nor come after every few hundred objects."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
