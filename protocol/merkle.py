"""Merkle trees with sorted pairs; an odd node is carried up unhashed (the market builds the same)."""

from collections.abc import Sequence
from struct import pack

from protocol.abi import WORD_BYTES, uint_word
from protocol.digest import ZERO_DIGEST, keccak
from protocol.errors import BadInput

LEAF_TOKENS = 32
_TOKEN_LIMIT = 1 << 32
_TOKEN_WORD = f"{WORD_BYTES - 4}xI"


class NoLeaves(BadInput):
    """A batch without leaves has no root."""

    def __init__(self) -> None:
        super().__init__("MERKLE-001", "leaves", 0, "give at least one leaf")


class BadTokenId(BadInput):
    """A token id that is no uint32."""

    def __init__(self, position: int, value: object) -> None:
        super().__init__("MERKLE-002", f"token {position}", value, "give whole numbers from 0 to 2**32-1")


def hash_pair(left: bytes, right: bytes) -> bytes:
    return keccak(left + right if left < right else right + left)


def batch_root(leaves: Sequence[bytes]) -> bytes:
    """Root over the leaves in order; a single leaf is its own root. Raises NoLeaves."""
    if not leaves:
        raise NoLeaves
    level = list(leaves)
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Siblings from leaf `index` up to the root; a carried node has none on that level."""
    if not 0 <= index < len(leaves):
        raise NoLeaves
    level, path = list(leaves), []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _next_level(level), index // 2
    return tuple(path)


def verify(root: bytes, leaf: bytes, path: Sequence[bytes]) -> bool:
    """Whether `leaf` lies under `root`."""
    node = leaf
    for sibling in path:
        node = hash_pair(node, sibling)
    return node == root


def output_leaves(token_ids: Sequence[int]) -> list[bytes]:
    """Leaf i commits to (i, tokens 32i to 32i+31) of all outputs joined. Raises BadTokenId."""
    leaves = []
    for index, start in enumerate(range(0, len(token_ids), LEAF_TOKENS)):
        tokens = token_ids[start : start + LEAF_TOKENS]
        # abi.encode(uint256 i, uint32[] tokens): the index, the array's offset, its length, its items.
        head = uint_word(index) + uint_word(2 * WORD_BYTES) + uint_word(len(tokens))
        leaves.append(keccak(keccak(head + _token_words(tokens, start))))
    return leaves


def _token_words(tokens: Sequence[int], start: int) -> bytes:
    if not (min(tokens) >= 0 and max(tokens) < _TOKEN_LIMIT):
        position = next(place for place, token in enumerate(tokens) if not 0 <= token < _TOKEN_LIMIT)
        raise BadTokenId(start + position, tokens[position])
    return pack(f">{_TOKEN_WORD * len(tokens)}", *tokens)


def output_root(token_ids: Sequence[int]) -> bytes:
    """Root over the token ids of all outputs joined; 32 zero bytes when there are none."""
    return batch_root(output_leaves(token_ids)) if token_ids else ZERO_DIGEST


def _next_level(level: list[bytes]) -> list[bytes]:
    paired = [hash_pair(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return [*paired, level[-1]] if len(level) % 2 else paired
