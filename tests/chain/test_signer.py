"""Every address, signature and transaction is what eth-account makes of the same key."""

import pytest
from eth_account import Account
from eth_typing import Hash32
from hypothesis import given
from hypothesis import strategies as st

from chain.signer import Signer, Transaction

CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
keys = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
words = st.integers(0, 2**64 - 1)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())


@given(keys, st.binary(min_size=32, max_size=32))
def test_digests_are_signed_alike(key, digest):
    signer, account = Signer(key), Account.from_key(key)
    theirs = account.unsafe_sign_hash(Hash32(digest))
    assert signer.address == account.address
    assert bytes(signer.sign(digest)) == theirs.signature


@given(
    keys,
    st.builds(
        Transaction,
        chain_id=words,
        nonce=words,
        priority_fee_wei=words,
        max_fee_wei=words,
        gas_limit=words,
        to=st.none() | addresses,
        value_wei=st.integers(0, 2**256 - 1),
        data=st.binary(max_size=100),
    ),
)
def test_transactions_are_signed_alike(key, transaction):
    mine = Signer(key).sign_transaction(transaction)
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "maxPriorityFeePerGas": transaction.priority_fee_wei,
            "maxFeePerGas": transaction.max_fee_wei,
            "gas": transaction.gas_limit,
            "value": transaction.value_wei,
            "data": transaction.data,
        }
        | ({} if transaction.to is None else {"to": bytes.fromhex(transaction.to[2:])}),
        key,
    )
    assert (mine.raw, mine.hash) == (theirs.raw_transaction, theirs.hash)


@pytest.mark.parametrize(
    "key",
    [b"", b"\x01", b"\x11" * 31, b"\x11" * 33, bytes(32), CURVE_ORDER.to_bytes(32, "big"), b"\xff" * 32],
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match=r"."):
        Signer(key)


def test_only_a_digest_is_signed():
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(b"\x11" * 32).sign(b"a text")


def test_a_signer_never_shows_its_key():
    signer = Signer(b"\x11" * 32)
    assert "11" * 4 not in repr(signer) + str(signer)
    assert "\\x11" not in repr(signer)
