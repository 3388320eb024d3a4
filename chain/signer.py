"""A key that signs: digests, and the transactions it pays for.

eth-account does this and much more, and takes as long to load as all the rest of a worker that was killed and starts
again. The tests hold every signature against it.
"""

from dataclasses import dataclass

import rlp
from coincurve import PrivateKey

from protocol.abi import checksum_address
from protocol.digest import keccak

KEY_BYTES = 32
_TYPE = b"\x02"
_FIRST_V = 27


@dataclass(frozen=True, slots=True)
class Transaction:
    """Of type 2 (EIP-1559). `to` is None where it creates a contract; then `data` is its code and arguments."""

    chain_id: int
    nonce: int
    priority_fee_wei: int
    max_fee_wei: int
    gas_limit: int
    to: str | None
    value_wei: int
    data: bytes

    def fields(self) -> list[object]:
        """In the order in which they are signed; the list of accesses is empty."""
        to = b"" if self.to is None else bytes.fromhex(self.to[2:])
        fees = [self.priority_fee_wei, self.max_fee_wei]
        return [self.chain_id, self.nonce, *fees, self.gas_limit, to, self.value_wei, self.data, []]


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """`raw` as a node takes it; `hash` is what it will be known by."""

    raw: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """Over secp256k1: `r` and `s` of 32 bytes, `s` in the lower half (EIP-2), and `v` of 27 or 28."""

    r: bytes
    s: bytes
    v: int

    def __bytes__(self) -> bytes:
        """65 bytes, as contracts take it."""
        return self.r + self.s + bytes([self.v])


class Signer:
    """`key` is 32 bytes, `address` its EIP-55 address. Signatures are those of RFC 6979: the same for the same digest.

    Raises ValueError where the bytes are no key of the curve.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self.key = key
        self._private = PrivateKey(key)
        point = self._private.public_key.format(compressed=False)[1:]
        self.address = checksum_address(keccak(point)[12:])

    def sign(self, digest: bytes) -> Signature:
        """Of 32 bytes, which are signed as they are. Raises ValueError for any other number of them."""
        signed = self._private.sign_recoverable(digest, hasher=None)
        return Signature(signed[:32], signed[32:64], _FIRST_V + signed[64])

    def sign_transaction(self, transaction: Transaction) -> SignedTransaction:
        fields = transaction.fields()
        signed = self.sign(keccak(_TYPE + rlp.encode(fields)))
        # RLP knows integers without leading zeros only.
        r, s = int.from_bytes(signed.r, "big"), int.from_bytes(signed.s, "big")
        raw = _TYPE + rlp.encode([*fields, signed.v - _FIRST_V, r, s])
        return SignedTransaction(raw, keccak(raw))
