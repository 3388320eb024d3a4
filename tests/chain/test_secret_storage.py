"""Keys under a password: what other wallets wrote is read, what is written here they read."""

import json
import re
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.secret_storage import PasswordRefused, decrypt, encrypt
from chain.signer import Signer

WORK = 1 << 4
HEX_FIELD = re.compile(r'"(\w+)": "([0-9a-f-]{32,})"')
KEY = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
PASSWORD = "testpassword"
# The two test vectors of the format's definition, both of that key and that password.
PBKDF2: Any = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
SCRYPT: Any = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32,
            "n": 262144,
            "p": 8,
            "r": 1,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


def changed(document, **fields):
    return document | {"crypto": document["crypto"] | fields}


def with_derivation(document, **parameters):
    return changed(document, kdfparams=document["crypto"]["kdfparams"] | parameters)


@pytest.mark.parametrize("document", [PBKDF2, SCRYPT], ids=["pbkdf2", "scrypt"])
def test_the_vectors_of_the_format_open(document):
    assert decrypt(document, PASSWORD) == KEY


def test_another_password_is_refused():
    with pytest.raises(PasswordRefused):
        decrypt(PBKDF2, PASSWORD + " ")


def test_the_name_that_some_wallets_write_in_capitals_is_read():
    document = {"Crypto": PBKDF2["crypto"], "version": 3}
    assert decrypt(document, PASSWORD) == KEY


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32).filter(any), st.text(st.characters(codec="utf-8"), min_size=1))
def test_what_is_written_opens_here_and_in_eth_account(key, password):
    key = b"\x7f" + key[1:]  # below the curve's order
    document = encrypt(Signer(key), password, WORK)
    assert decrypt(document, password) == key
    assert bytes(Account.decrypt(document, password)) == key


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_what_eth_account_writes_opens_here(kdf):
    document = Account.encrypt(KEY, "pässword", kdf=kdf, iterations=WORK)
    assert decrypt(document, "pässword") == KEY


def test_nothing_is_the_same_twice():
    first, second = (
        dict(HEX_FIELD.findall(json.dumps(encrypt(Signer(KEY), PASSWORD, WORK)))) for _ in range(2)
    )
    assert [name for name in first if first[name] == second[name]] == ["address"]
    assert first.keys() == {"id", "address", "iv", "salt", "ciphertext", "mac"}


@pytest.mark.parametrize(
    "document",
    [
        SCRYPT | {"version": 4},
        changed(SCRYPT, cipher="aes-128-cbc"),
        changed(SCRYPT, kdf="argon2"),
        changed(PBKDF2, mac="zz"),
        with_derivation(PBKDF2, prf="hmac-md5"),
        with_derivation(SCRYPT, dklen=16),
        with_derivation(SCRYPT, n=262143),
        with_derivation(SCRYPT, n=1 << 30),
        with_derivation(SCRYPT, r=1 << 30),
        with_derivation(PBKDF2, c=0),
    ],
)
def test_what_is_of_another_kind_is_refused(document):
    with pytest.raises(ValueError, match=r"."):
        decrypt(document, PASSWORD)
