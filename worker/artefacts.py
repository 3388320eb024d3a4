"""What this machine holds for a task: its checked input, its progress in the engine, its transaction under way."""

from dataclasses import dataclass, field
from enum import StrEnum

from worker.codes import Reason


class Input(StrEnum):
    """How far the input is."""

    UNKNOWN = "unknown"
    FETCHING = "fetching"
    READY = "ready"
    BAD = "bad"


class Stage(StrEnum):
    """How far the work is."""

    IDLE = "idle"
    QUEUED = "queued"  # handed over, not yet in the engine
    RUNNING = "running"
    GENERATED = "generated"
    SEALED = "sealed"  # durable here, and kept from the others until the reveal is open
    STORING = "storing"  # durable here, on its way into the content store
    SAVED = "saved"


class Call(StrEnum):
    """What a transaction under way does to the task."""

    CLAIM = "claim"
    POST = "post"
    SETTLE = "settle"
    RELEASE = "release"
    COMMIT = "commit"
    OPEN_REVEAL = "open-reveal"
    REVEAL = "reveal"
    CLOSE_ROUND = "close-round"
    ANSWER = "answer"
    TIMEOUT = "timeout"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    ANNOUNCE = "announce"


def lies_outside(uri: str) -> bool:
    """Whether an input's address leads elsewhere than into the configured store."""
    return "://" in uri


@dataclass(frozen=True, slots=True)
class InputFacts:
    """What admission must know of a checked input.

    `declared_tokens` is what the parameters allow all prompts to produce, `max_output_tokens` what the window leaves of
    it; `alone_secs` is the meta-model's bound on running the task with nothing beside it.
    """

    prompts: int
    servable_prompts: int
    prompt_tokens: int
    declared_tokens: int
    max_output_tokens: int
    alone_secs: float = 0.0


@dataclass(slots=True)
class Artefact:
    """The local side of one task. `retry_at` is in wall seconds; `under_way` holds while its transaction is open.

    Answers to demands go their own way beside it: `answering` are the leaves under way, `unanswerable` says why none
    can be given.
    """

    input: Input = Input.UNKNOWN
    facts: InputFacts | None = None
    bad: Reason | None = None
    fetch_started_at: float = 0.0
    retry_at: float = 0.0
    stage: Stage = Stage.IDLE
    attempts: int = 0
    # What the engine still needs for it at its present speed; None while nobody knows.
    left_secs: float | None = None
    under_way: Call | None = None
    declined: Reason | None = None
    # protocol.lifecycle.SkipReason by the hash of the transaction that left the task out; strangers' are here too.
    refused: dict[bytes, int] = field(default_factory=dict)
    answering: set[int] = field(default_factory=set)
    answer_retry_at: float = 0.0
    unanswerable: Reason | None = None
    given_up: bool = False
    alerted: bool = False

    @property
    def hopeless(self) -> bool:
        """Nothing this worker can do will end the lease well."""
        return self.alerted and self.stage in {Stage.IDLE, Stage.SEALED, Stage.SAVED}


NOTHING_YET = Artefact()
"""What a task that was never touched has; not to be changed."""
