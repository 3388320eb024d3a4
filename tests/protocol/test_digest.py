"""Hashes, canonical JSON, and JSON from strangers."""

import json
import math
from pathlib import Path

import pytest
import rfc8785
from eth_hash.auto import keccak as ethereum_keccak
from hypothesis import given
from hypothesis import strategies as st

from protocol.digest import (
    MAX_JSON_INT,
    BadDigest,
    MalformedJson,
    NotCanonical,
    canonical_json,
    from_hex,
    json_digest,
    keccak,
    parse_json,
    sha256,
    to_hex,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_JSON_INT, MAX_JSON_INT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def test_keccak_of_nothing_is_ethereums():
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(st.binary(max_size=400))
def test_keccak_is_what_the_ethereum_libraries_hash_with(data: bytes):
    assert keccak(data) == ethereum_keccak(data)


@given(JSON_VALUES)
def test_canonical_json_survives_its_own_parser(value):
    data = canonical_json(value)
    assert parse_json("x", data, max_bytes=1 << 20) == value
    assert canonical_json(parse_json("x", data, max_bytes=1 << 20)) == data


@given(JSON_VALUES | st.floats(1e-9, 1e-3) | st.floats(1e14, 1e23) | st.lists(st.integers(0, 1 << 20)))
def test_canonical_json_is_what_the_rfcs_own_library_writes(value):
    assert canonical_json(value) == rfc8785.dumps(value)


@given(st.dictionaries(TEXT, st.integers(0, 9), min_size=2))
def test_the_order_of_keys_changes_no_digest(value):
    backwards = dict(reversed(value.items()))
    assert json_digest(value) == json_digest(backwards)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 2**53, -(2**53), "\ud800", {"a": "\udfff"}, {1: "a"}, b"x", {"a": object()}],
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(NotCanonical):
        canonical_json(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1,]",
        b"{} {}",
        b"NaN",
        b"[Infinity]",
        b'{"a":1,"a":2}',
        b'"\xff"',
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b"1e999",
        b"1" * 5000,
        b"[" * 17 + b"]" * 17,
        b'{"a":' * 100_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_hostile_json_is_malformed(data):
    with pytest.raises(MalformedJson):
        parse_json("field", data, max_bytes=1 << 20)


def test_brackets_inside_strings_are_no_nesting():
    assert parse_json("x", b'"' + b"[{" * 50 + b'\\"[["', max_bytes=1000) == "[{" * 50 + '"[['


def test_json_beyond_its_size_is_refused_unparsed():
    with pytest.raises(MalformedJson, match="more than 10"):
        parse_json("field", b"[" + b" " * 20 + b"]", max_bytes=10)


def test_an_integer_no_double_holds_is_a_double():
    assert parse_json("x", b"[9007199254740991, -9007199254740992]", max_bytes=99) == [2**53 - 1, -(2.0**53)]
    assert isinstance(parse_json("x", b"9007199254740992", max_bytes=99), float)


def test_a_surrogate_pair_is_one_character():
    assert parse_json("x", b'"\\ud83d\\ude00"', max_bytes=100) == "\U0001f600"


@given(st.binary(min_size=32, max_size=32))
def test_hex_goes_there_and_back(digest):
    assert from_hex("d", to_hex(digest)) == digest


@pytest.mark.parametrize("text", ["", "0x", "00" * 32, "0x" + "00" * 31, "0x" + "AA" * 32, None, 5])
def test_anything_but_a_digest_in_hex_is_refused(text):
    with pytest.raises(BadDigest, match="salt"):
        from_hex("salt", text)


def test_the_vectors_of_canonical_json_hold():
    vectors = json.loads(Path(__file__).parents[1].joinpath("vectors/digests.json").read_bytes())
    assert len(vectors["canonicalJson"]) >= 4
    for vector in vectors["canonicalJson"]:
        data = canonical_json(vector["value"])
        assert data.decode() == vector["canonical"]
        assert to_hex(sha256(data)) == vector["sha256"]


def test_numbers_are_written_as_ecmascript_writes_them():
    """Cases of RFC 8785, appendix B."""
    for value, text in [
        (333333333.3333333, "333333333.3333333"),
        (1e30, "1e+30"),
        (4.50, "4.5"),
        (2e-3, "0.002"),
    ]:
        assert canonical_json(value).decode() == text
    assert canonical_json(1e-27).decode() == "1e-27"
    assert canonical_json(-0.0) == b"0"
