"""Every step of the worker that outlives it: what it makes durable, and what it hands on.

The steps of a transaction come in the order of `OF_A_CALL`, once for each `Call`. Between SIGN and NOTE_SENT the signed
bytes go to the node. `reached` is where tests kill the worker, before and after each step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from worker.artefacts import Call


class Step(StrEnum):
    """What is done in one go: it is there as a whole after a crash, or not at all."""

    BIND = "bind the database to chain and key"
    MEASURE = "keep what this machine is"
    FOLLOW = "take in blocks"
    REWIND = "undo orphaned blocks"
    DECIDE = "write down a round's decisions"
    PLAN = "plan a transaction"
    SIGN = "keep signed bytes"
    NOTE_SENT = "note that they were sent"
    NOTE_MINED = "note that they were mined"
    NOTE_END = "note how it ended"
    CLOSE = "close the sending"
    RUN = "hand to the engine"
    KEEP_TOKENS = "keep tokens as they come"
    RENEW_TOKENS = "write the kept tokens anew"
    LEARN = "keep what an engine says of itself"
    COUNT_FAILURE = "count what the engine failed on"
    NOTE_TROUBLE = "note which strategy failed"
    FORGIVE = "note that it works again"
    STORE = "put results into the store"
    NOTE_AWAY = "note that the store is away"
    NOTE_OUTCOME = "note what a transaction did not do"
    TAKE_REQUEST = "take up what an operator asked for"
    REFUSE_REQUEST = "refuse what an operator asked for"
    ASK = "leave a request for the running worker"
    SHOW = "publish a snapshot"
    FORGET = "drop what ended long ago"


OF_A_CALL = (Step.PLAN, Step.SIGN, Step.NOTE_SENT, Step.NOTE_MINED, Step.NOTE_END, Step.CLOSE)


class Moment(StrEnum):
    BEFORE = "before"
    AFTER = "after"


def reached(moment: Moment, step: Step, call: Call | None) -> None:
    """Nothing happens here but what a test puts in its place."""


@contextmanager
def step(which: Step) -> Iterator[None]:
    """A step that is no database transaction."""
    reached(Moment.BEFORE, which, None)
    yield
    reached(Moment.AFTER, which, None)
