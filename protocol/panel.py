"""A panel member's vote: what is committed first and shown later."""

import hmac

from protocol.abi import address_word, uint_word
from protocol.digest import keccak

_SALT_LABEL = b"quern panel vote"


def vote_digest(
    chain_id: int, panel: str, market: str, task_id: bytes, *, member: str, faulty: bool, salt: bytes
) -> bytes:
    """The commitment to a vote, bound to chain, panel, market, task and member: `PanelArbiter.hashVote`."""
    return keccak(
        b"".join(
            (
                uint_word(chain_id),
                address_word(panel),
                address_word(market),
                task_id,
                address_word(member),
                uint_word(int(faulty)),
                salt,
            )
        )
    )


def vote_salt(private_key: bytes, panel: str, market: str, task_id: bytes) -> bytes:
    """HMAC-SHA256 under the member's key, so that a vote can be shown from another machine, or after a lost disk."""
    dispute = _SALT_LABEL + address_word(panel) + address_word(market) + task_id
    return hmac.digest(private_key, dispute, "sha256")
