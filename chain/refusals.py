"""What a node means by refusing a transaction that was sent to it; nodes say it in words of their own."""

from collections.abc import Sequence

from chain.faults import NodeError

# The node has it, or had it: only the chain knows the outcome.
_UNKNOWN_OUTCOME = ("already known", "known transaction", "already imported", "nonce too low", "underpriced")
# It would be taken later: the bytes are kept and sent again.
_SEND_AGAIN = ("nonce too high", "nonce gap", "txpool is full", "mempool", "timeout")
_NO_FUNDS = ("insufficient funds", "enough funds")


def lacks_funds(error: NodeError) -> bool:
    """The key's balance does not cover it."""
    return _says(error, _NO_FUNDS)


def taken(error: NodeError) -> bool:
    """Whether the node has the transaction all the same: under automine a revert is mined, and only then reported."""
    return error.data is not None or _says(error, (*_UNKNOWN_OUTCOME, "revert"))


def is_final(error: NodeError) -> bool:
    """Whether sending the same bytes again will never help."""
    return not _says(error, _SEND_AGAIN)


def _says(error: NodeError, phrases: Sequence[str]) -> bool:
    said = error.message.lower()
    return any(phrase in said for phrase in phrases)
