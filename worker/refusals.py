"""Why an input is not there for the worker: for good, or for now."""

from worker.codes import Reason


class InputRefused(Exception):
    """The input cannot be served; `reason` is what `why` will print."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class StoreAway(Exception):
    """The store did not answer: nothing is known of the input yet."""
