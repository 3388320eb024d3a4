"""Merkle trees: every leaf proves itself, nothing else does."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from protocol.digest import ZERO_DIGEST, keccak
from protocol.merkle import (
    LEAF_TOKENS,
    BadTokenId,
    NoLeaves,
    batch_root,
    output_leaves,
    output_root,
    proof,
    verify,
)

LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)
TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=200)


@given(LEAVES, st.data())
def test_every_leaf_proves_itself(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert verify(batch_root(leaves), leaves[index], proof(leaves, index))


@given(LEAVES, st.binary(min_size=32, max_size=32), st.data())
def test_no_other_leaf_passes_with_a_leafs_proof(leaves, stranger, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert verify(batch_root(leaves), stranger, proof(leaves, index)) == (stranger == leaves[index])


@given(LEAVES, st.data())
def test_a_changed_leaf_changes_the_root(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    changed = leaves.copy()
    changed[index] = keccak(leaves[index])
    assert batch_root(changed) != batch_root(leaves)


@given(TOKENS)
def test_a_leaf_is_its_index_and_thirty_two_tokens(tokens):
    """Against the general ABI encoder."""
    leaves = output_leaves(tokens)
    assert len(leaves) == -(-len(tokens) // LEAF_TOKENS)
    for index, leaf in enumerate(leaves):
        part = tokens[LEAF_TOKENS * index : LEAF_TOKENS * (index + 1)]
        assert leaf == keccak(keccak(encode(["uint256", "uint32[]"], [index, part])))


def test_no_output_has_the_zero_root():
    assert output_root([]) == ZERO_DIGEST


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(NoLeaves):
        batch_root([])
    with pytest.raises(NoLeaves):
        proof([b"\0" * 32], 1)


@pytest.mark.parametrize("token", [-1, 2**32])
def test_a_token_that_is_no_uint32_is_named(token):
    with pytest.raises(BadTokenId, match="token 33"):
        output_root([0] * 33 + [token])
