"""Everything the worker may decide to do."""

from dataclasses import dataclass
from enum import StrEnum

from worker.codes import Reason


class Act(StrEnum):
    """Everything `decide` may ask for."""

    FETCH = "fetch"
    DECLINE = "decline"
    CLAIM = "claim"
    RUN = "run"
    PERSIST = "persist"
    POST = "post"
    SETTLE = "settle"
    RELEASE = "release"
    COMMIT = "commit"
    PUBLISH = "publish"
    OPEN_REVEAL = "open-reveal"
    REVEAL = "reveal"
    CLOSE_ROUND = "close-round"
    ANSWER = "answer"
    TIMEOUT = "timeout"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do; `task_id` is empty for `WITHDRAW`, which carries `amount_units`, `ANSWER` carries `leaves`."""

    act: Act
    task_id: bytes
    reason: Reason | None = None
    amount_units: int = 0
    leaves: tuple[int, ...] = ()
