"""Answers to demands, the salts of replicas and votes, and permits."""

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from protocol.digest import keccak
from protocol.domain import Domain
from protocol.evidence import NoSuchLeaf, leaf_count, leaf_length, make_answer
from protocol.merkle import output_leaves, output_root, verify
from protocol.panel import vote_salt
from protocol.permit import permit_digest
from protocol.receipt import Body, Receipt, body_digest, leaf, replica_salt

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
WORKER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
TOKENS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300)


def body_over(tokens):
    return Body(b"\1" * 32, WORKER, output_root(tokens), b"\2" * 32, b"\3" * 32, b"\4" * 32, 9, 1, 2)


@given(TOKENS, st.data())
def test_an_answer_shows_exactly_its_leaf_of_what_was_posted(tokens, data):
    index = data.draw(st.integers(0, leaf_count(len(tokens)) - 1))
    body = body_over(tokens)
    receipt = leaf(Receipt(body.task_id, body_digest(DOMAIN, body), len(tokens)))
    others = data.draw(st.lists(st.binary(min_size=32, max_size=32), max_size=9))
    place = data.draw(st.integers(0, len(others)))
    batch = [*others[:place], receipt, *others[place:]]
    answer = make_answer(body, tokens, index, batch, place)
    assert answer.tokens == tuple(tokens[32 * index : 32 * index + 32])
    assert len(answer.tokens) == leaf_length(len(tokens), index)
    shown = output_leaves([0] * 32 * index + list(answer.tokens))[-1]
    assert verify(body.output_root, shown, answer.leaf_path)
    assert make_answer(body, tokens, index).batch_path == ()


def test_leaves_are_counted_from_the_number_of_tokens_alone():
    assert [leaf_count(tokens) for tokens in (0, 1, 32, 33, 2**32 - 1)] == [0, 1, 1, 2, 2**27]
    assert [leaf_length(33, index) for index in (0, 1)] == [32, 1]
    for tokens, index in ((0, 0), (32, 1), (33, -1)):
        with pytest.raises(NoSuchLeaf, match="counted from 0"):
            leaf_length(tokens, index)


def test_a_salt_is_the_same_again_and_another_for_every_key_and_task():
    keys, tasks = (b"\1" * 32, b"\2" * 32), (b"\3" * 32, b"\4" * 32)
    salts = {replica_salt(key, task) for key in keys for task in tasks}
    salts |= {vote_salt(key, WORKER, DOMAIN.market, task) for key in keys for task in tasks}
    assert len(salts) == 8
    assert replica_salt(keys[0], tasks[0]) in salts
    # RFC 4231, test case 2.
    assert (
        replica_salt(b"Jefe", b"what do ya want for nothing?")
        .hex()
        .startswith("5bdcc146bf60754e6a04242608957")
    )


def test_a_permits_digest_is_that_of_its_typed_data():
    domain = {"name": "USD", "version": "2", "chainId": 5, "verifyingContract": DOMAIN.market}
    names = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    fields = [("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256")]
    message = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in names.items()],
                "Permit": [{"name": name, "type": kind} for name, kind in [*fields, ("deadline", "uint256")]],
            },
            "primaryType": "Permit",
            "domain": domain,
            "message": {
                "owner": WORKER,
                "spender": DOMAIN.market,
                "value": 2**256 - 1,
                "nonce": 0,
                "deadline": 77,
            },
        }
    )
    typed = keccak(b"\x19" + message.version + message.header + message.body)
    assert permit_digest(message.header, WORKER, DOMAIN.market, 2**256 - 1, 0, 77) == typed
