"""EIP-2612: the signature that lets a market pull a token deposit, without an `approve` of its own."""

from protocol.abi import address_word, uint_word
from protocol.digest import keccak

PERMIT_TYPEHASH = keccak(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)


def permit_digest(
    separator: bytes, owner: str, spender: str, amount: int, nonce: int, deadline: int
) -> bytes:
    """What `owner` signs; `separator` is the token's `DOMAIN_SEPARATOR()`, `amount` in its smallest parts."""
    struct_hash = keccak(
        b"".join(
            (
                PERMIT_TYPEHASH,
                address_word(owner),
                address_word(spender),
                uint_word(amount),
                uint_word(nonce),
                uint_word(deadline),
            )
        )
    )
    return keccak(b"\x19\x01" + separator + struct_hash)
