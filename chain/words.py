"""Reads and writes ABI words of what is many by hand: a general coder takes longer than the node takes for them."""

from collections.abc import Sequence
from typing import TypeAlias

from protocol.abi import WORD_BYTES, checksum_address, uint_word
from protocol.request import MEMBERS, Request

# A Solidity struct as the ABI coder takes and gives it.
Struct: TypeAlias = "tuple[StructValue, ...]"
StructValue: TypeAlias = "str | bytes | int | Sequence[StructValue]"

_URI_WORD = len(MEMBERS) - 1


def array_of_words(items: Sequence[StructValue]) -> bytes:
    """The data of a call whose one argument is an array of bytes32 and unsigned integers, or of structs of these.

    Raises ValueError, OverflowError where a value fits no word.
    """
    words = [uint_word(WORD_BYTES), uint_word(len(items))]
    for item in items:
        words += map(_word, item if isinstance(item, tuple) else (item,))
    return b"".join(words)


def _word(value: StructValue) -> bytes:
    if isinstance(value, int):
        return uint_word(value)
    if isinstance(value, bytes) and len(value) == WORD_BYTES:
        return value
    raise ValueError(f"{value!r} is no word")


def uint(data: bytes, word: int) -> int:
    return int.from_bytes(data[32 * word : 32 * word + 32], "big")


def address(word: bytes) -> str:
    return checksum_address(word[12:32])


def text_at(data: bytes, word: int) -> str:
    """The string whose offset stands in `word`. Bytes that are no UTF-8 survive as escapes."""
    start = uint(data, word)
    length = uint(data[start : start + 32], 0)
    return data[start + 32 : start + 32 + length].decode("utf-8", "surrogateescape")


def uints_at(data: bytes, word: int) -> tuple[int, ...]:
    """The array of unsigned integers whose offset stands in `word`."""
    start = uint(data, word) // 32
    count = min(uint(data, start), len(data) // 32)
    return tuple(uint(data, start + 1 + place) for place in range(count))


def request_at(data: bytes, word: int) -> Request:
    """The Request struct whose offset stands in `word`."""
    head = data[uint(data, word) :]
    return Request(
        requester=address(head[:32]),
        salt=head[32:64],
        model_id=head[64:96],
        input_digest=head[96:128],
        params_digest=head[128:160],
        equivalence=head[160:192],
        max_fee_units=uint(head, 6),
        flat_percent=uint(head, 7),
        tip_units=uint(head, 8),
        max_output_tokens=uint(head, 9),
        bond_units=uint(head, 10),
        deadline=uint(head, 11),
        lease_secs=uint(head, 12),
        replicas=uint(head, 13),
        input_uri=text_at(head, _URI_WORD),
    )
