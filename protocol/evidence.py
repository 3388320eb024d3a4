"""What answers a demand: one leaf of an output, and the way from it to what was posted."""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import BadInput
from protocol.merkle import LEAF_TOKENS, output_leaves, proof
from protocol.receipt import Body


class NoSuchLeaf(BadInput):
    """A leaf beyond the end of the output."""

    def __init__(self, leaf: int, leaves: int) -> None:
        super().__init__("MERKLE-003", "leaf", leaf, f"the output has {leaves} leaves, counted from 0")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body`: of one replica what was posted, of several any with the winning verdict. `batch_path`: from the
    receipt's leaf up to the batch root, empty for a replicated task. `leaf_path`: from the leaf of `tokens` up to
    `body.output_root`.
    """

    body: Body
    batch_path: tuple[bytes, ...]
    tokens: tuple[int, ...]
    leaf_path: tuple[bytes, ...]


def leaf_count(output_tokens: int) -> int:
    """Leaves of an output; 0 where there are no tokens."""
    return -(-output_tokens // LEAF_TOKENS)


def leaf_length(output_tokens: int, leaf: int) -> int:
    """How many tokens the leaf has: 32, fewer in the last. Raises NoSuchLeaf."""
    if not 0 <= leaf < leaf_count(output_tokens):
        raise NoSuchLeaf(leaf, leaf_count(output_tokens))
    return min(LEAF_TOKENS, output_tokens - leaf * LEAF_TOKENS)


def make_answer(
    body: Body, token_ids: Sequence[int], leaf: int, batch_leaves: Sequence[bytes] = (), position: int = 0
) -> Answer:
    """The answer to a demand of `leaf`.

    `token_ids` are those of all outputs joined; `batch_leaves` the leaves of the posted batch in order, in which this
    task's receipt is number `position`; none for a replicated task. Raises NoSuchLeaf, BadTokenId, NoLeaves.
    """
    length = leaf_length(len(token_ids), leaf)
    start = leaf * LEAF_TOKENS
    return Answer(
        body=body,
        batch_path=proof(batch_leaves, position) if batch_leaves else (),
        tokens=tuple(token_ids[start : start + length]),
        leaf_path=proof(output_leaves(token_ids), leaf),
    )
