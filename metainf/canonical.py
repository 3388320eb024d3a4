"""The digest of a strategy without any package: RFC 8785 for the few kinds of values that records hold.

A sweep runs on machines that have vLLM, NumPy and PyArrow and nothing else of ours. Whatever this writes,
`protocol.digest.canonical_json` writes too (a test); what it cannot write alike, it refuses.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

# Beyond these JavaScript, whose numbers RFC 8785 keeps to, writes an exponent.
_LEAST_PLAIN, _MOST_PLAIN = 1e-6, 1e21


def record_digest(record: Mapping[str, object]) -> str:
    """`0x` and the SHA-256 of a record's canonical JSON. `ValueError` for a value outside what records hold."""
    return "0x" + sha256(_written(record).encode()).hexdigest()


def _written(value: object) -> str:
    match value:
        case None | bool() | int():
            return json.dumps(value)
        case float():
            return _number(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            if not all(isinstance(name, str) and name.isascii() for name in value):
                raise ValueError(f"record keys {', '.join(map(repr, value))}: give ASCII names")
            return "{" + ",".join(f"{_written(name)}:{_written(value[name])}" for name in sorted(value)) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_written, value)) + "]"
    raise ValueError(f"record value {value!r}: give JSON values")


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if not _LEAST_PLAIN <= abs(value) < _MOST_PLAIN:
        raise ValueError(f"record number {value!r}: give one between {_LEAST_PLAIN} and {_MOST_PLAIN}")
    return repr(value)
