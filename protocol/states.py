"""Where tasks, seats and votes stand, and the contracts' coded reasons; the numbers are the contracts'."""

from enum import IntEnum


class TaskState(IntEnum):
    """As stored by the market."""

    NONE = 0
    OPEN = 1
    LEASED = 2
    POSTED = 3
    DISPUTED = 4
    SETTLED = 5
    REFUNDED = 6


class SeatState(IntEnum):
    """Where a seat of a replicated task stands."""

    EMPTY = 0
    LEASED = 1
    COMMITTED = 2
    REVEALED = 3
    WON = 4
    LEFT = 5
    BURNED = 6


class Standing(IntEnum):
    """A state with what time has done to it since it was written, as `MarketLens.standingOf` has it."""

    NONE = 0
    OPEN = 1
    LEASED = 2
    LAPSED = 3
    EXPIRED = 4
    REVEALABLE = 5
    REVEALING = 6
    CLOSABLE = 7
    POSTED = 8
    SETTLEABLE = 9
    DISPUTED = 10
    TIMED_OUT = 11
    SETTLED = 12
    REFUNDED = 13


class RefundReason(IntEnum):
    CANCELLED = 1
    EXPIRED = 2
    NO_QUORUM = 3
    UNANSWERED = 4
    FAULTY = 5


class SkipReason(IntEnum):
    """Why a `...Many` call or `postBatch` left an item out."""

    WRONG_STATE = 1
    NOT_REQUESTER = 2
    BAD_SIGNATURE = 3
    BAD_REPLICAS = 4
    NO_EQUIVALENCE = 5
    NO_OUTPUT_TOKENS = 6
    FLAT_PERCENT_TOO_HIGH = 7
    NO_BOND = 8
    LEASE_TOO_SHORT = 9
    DEADLINE_TOO_SOON = 10
    DEADLINE_TOO_FAR = 11
    INSUFFICIENT_FREE = 12
    LEASE_RUNNING = 13
    ALREADY_SEATED = 14
    REPLICATED = 15
    NOT_WORKER = 16
    DEADLINE_PASSED = 17
    TOO_MANY_TOKENS = 18
    WINDOW_OPEN = 19
    DEMANDS_OPEN = 20


class DemandState(IntEnum):
    """What became of a demand; the market itself keeps only whether it is open."""

    OPEN = 0
    ANSWERED = 1
    LAPSED = 2
    CLOSED = 3


class Vote(IntEnum):
    """Where a panel's member stands in a hearing."""

    NONE = 0
    COMMITTED = 1
    SOUND = 2
    FAULTY = 3
