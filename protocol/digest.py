"""Hashes and canonical JSON. Digests are 32 `bytes`; "0x" hex only where people or JSON files meet them."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from typing import TypeAlias, cast

import rfc8785

from protocol.errors import BadInput

try:
    # Six times as fast as what the Ethereum libraries choose by themselves where both are installed.
    from eth_hash.backends.pysha3 import keccak256 as _keccak
except ImportError:
    from eth_hash.backends.pycryptodome import keccak256 as _keccak

JsonValue: TypeAlias = bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
_Encodable: TypeAlias = "bool | int | float | str | list[_Encodable] | dict[str, _Encodable] | None"

DIGEST_BYTES = 32
ZERO_DIGEST = bytes(DIGEST_BYTES)
# RFC 8785 keeps to the integers an IEEE double holds exactly.
MAX_JSON_INT = 2**53 - 1
_INT_CHARS = len(str(-MAX_JSON_INT))
# A digest where people or JSON files meet it.
HEX_DIGEST = re.compile(r"0x[0-9a-f]{64}")


class NotCanonical(BadInput):
    """A value RFC 8785 has no form for (NaN, an integer beyond 2**53, a lone surrogate, a foreign type)."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "DIGEST-001", "json", reason, "use finite numbers within +-(2**53-1), valid text, lists, maps"
        )


class BadDigest(BadInput):
    """Text that should be "0x" and 64 lower-case hex digits, and is not."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__("DIGEST-002", field, value, "give 0x and 64 lower-case hex digits")


def keccak(data: bytes) -> bytes:
    """Ethereum's Keccak-256."""
    return _keccak(data)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    return "0x" + hashlib.sha256(data).hexdigest()


def canonical_json(value: JsonValue) -> bytes:
    """RFC 8785 (JCS): keys sorted by UTF-16 units, ECMAScript numbers, UTF-8. Raises NotCanonical."""
    # The interpreter's own encoder is many times faster, and writes the same for nearly everything.
    with suppress(_Unusual, ValueError, RecursionError):
        return _ENCODER.encode(_usual(value)).encode()
    try:
        return rfc8785.dumps(_plain(value))
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise NotCanonical(str(error)) from error


def canonical_text(text: str) -> str:
    """`canonical_json` of a text, undecoded: half of a surrogate pair is still in it."""
    return _ENCODER.encode(text)


def json_digest(value: JsonValue) -> bytes:
    """sha256 of the canonical JSON."""
    return sha256(canonical_json(value))


def to_hex(digest: bytes) -> str:
    return "0x" + digest.hex()


def from_hex(field: str, text: object) -> bytes:
    """The 32 bytes of a "0x" hex digest. Raises BadDigest naming `field`."""
    if not isinstance(text, str) or not HEX_DIGEST.fullmatch(text):
        raise BadDigest(field, text)
    return bytes.fromhex(text[2:])


def _plain(value: JsonValue) -> "_Encodable":
    """Mappings and sequences of any kind as the dicts and lists the encoder knows."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise NotCanonical(f"a {type(value).__name__}")


class _Unusual(Exception):
    """A value that `json` would write in another form than RFC 8785 does, or that has no form."""


def _usual(value: JsonValue) -> "_Encodable":
    """`_plain` of what `json` writes canonically; what is so already is not copied. Raises _Unusual."""
    kind = type(value)
    if kind in _PLAIN_KINDS:
        return cast("_Encodable", value)
    if kind is dict:
        return _usual_members(cast("dict[str, JsonValue]", value))
    if kind is int and -MAX_JSON_INT <= cast("int", value) <= MAX_JSON_INT:
        return cast("int", value)
    if kind is float:
        return _usual_float(cast("float", value))
    if isinstance(value, list | tuple):
        kinds = set(map(type, value))
        # Token ids are long lists of integers.
        if kinds == {int} and min(value) >= -MAX_JSON_INT and max(value) <= MAX_JSON_INT:
            return cast("list[_Encodable]", value)
        return [_usual(item) for item in value]
    if isinstance(value, Mapping):
        return _usual_members(dict(value))
    raise _Unusual


def _usual_members(members: dict[str, JsonValue]) -> "dict[str, _Encodable]":
    changed: dict[str, _Encodable] = {}
    for key, item in members.items():
        # By UTF-16 units some other keys come in another order than by code points.
        if type(key) is not str or not key.isascii():
            raise _Unusual
        if type(item) not in _PLAIN_KINDS:
            usual = _usual(item)
            if usual is not item:
                changed[key] = usual
    same = cast("dict[str, _Encodable]", members)
    return {**same, **changed} if changed else same


def _usual_float(value: float) -> int | float:
    """ECMAScript leaves out ".0", and has other limits for when an exponent is written."""
    if value.is_integer() and abs(value) <= MAX_JSON_INT:
        return int(value)
    if _LEAST_DECIMAL <= abs(value) < MAX_JSON_INT:
        return value
    raise _Unusual


_PLAIN_KINDS = frozenset({str, bool, type(None)})
_LEAST_DECIMAL = 1e-4
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class MalformedJson(BadInput):
    """Bytes that are not the one strict JSON value they should be."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(
            "DIGEST-003", field, reason, "give strict UTF-8 JSON: no repeated keys, NaN or deep nesting"
        )


def parse_json(field: str, data: bytes, *, max_bytes: int, max_depth: int = 16) -> JsonValue:
    """Strict JSON from a stranger: limited size and depth, UTF-8, no repeated keys, no NaN.

    Raises MalformedJson.
    """
    if len(data) > max_bytes:
        raise MalformedJson(field, f"{len(data)} bytes, more than {max_bytes}")
    try:
        text = data.decode("utf-8")
        _limit_depth(text, max_depth)
        value: JsonValue = _DECODER.decode(text)
        if _SURROGATE.search(text):
            # An escaped half of a surrogate pair parses, and then has no UTF-8 form.
            canonical_json(value)
    except (NotCanonical, ValueError, RecursionError) as error:
        raise MalformedJson(field, str(error)) from error
    return value


def _limit_depth(text: str, max_depth: int) -> None:
    """Brackets are counted before parsing, so that a bomb of brackets costs one pass and no stack."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for mark in _STRUCTURE.finditer(text):
        kind = mark.group()[0]
        if kind in "[{":
            depth += 1
            if depth > max_depth:
                raise ValueError(f"nested deeper than {max_depth}")
        elif kind in "]}":
            depth -= 1


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def _unique_keys(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a repeated key")
    return found


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")


def _number(digits: str) -> int | float:
    """Integers that a double does not hold exactly are doubles, as everywhere in JSON since ECMAScript."""
    if len(digits) <= _INT_CHARS and abs(int(digits)) <= MAX_JSON_INT:
        return int(digits)
    return _finite(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise ValueError("a number beyond the doubles")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_number
)
