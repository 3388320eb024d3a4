"""An equivalence class: the engines whose outputs of one task count as equal, as data.

A replicated task names a class by its digest, the sha256 of the canonical JSON below, which lies in the store
under `classes/<hex>`. The chain cannot check it: a worker outside the class does not claim, and one that
claims all the same may be found at fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocol.digest import JsonValue, canonical_json, from_hex, parse_json, sha256, to_hex
from protocol.errors import BadInput

MAX_CLASS_BYTES = 64 * 1024
_VERSION = 1
_MAX_FACTS = 32
_MAX_STRATEGIES = 1_024


class BadEquivalence(BadInput):
    """A class that is none."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("CLASS-001", f"equivalence class {field}", value, fix)


def class_key(digest: bytes) -> str:
    """Where a class lies in a content store."""
    return f"classes/{digest.hex()}"


@dataclass(frozen=True, slots=True)
class EquivalenceClass:
    """`engine`: facts that must agree, each as in a receipt's engine facts (`engine`, `version`, `device`, `dtype`
    and the like); a fact it does not name may differ. `strategies`: digests of the strategies measured exact among
    themselves, ascending; none: any strategy. Raises BadEquivalence.
    """

    engine: Mapping[str, JsonValue]
    strategies: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.engine) <= _MAX_FACTS:
            raise BadEquivalence("engine", len(self.engine), f"give 1 to {_MAX_FACTS} engine facts")
        if len(self.strategies) > _MAX_STRATEGIES:
            raise BadEquivalence(
                "strategies", len(self.strategies), f"give at most {_MAX_STRATEGIES} digests"
            )
        object.__setattr__(self, "engine", MappingProxyType(dict(self.engine)))
        # One set of strategies, one digest.
        object.__setattr__(self, "strategies", tuple(sorted(set(self.strategies))))

    def encoded(self) -> bytes:
        """Canonical JSON: the bytes that are stored and hashed."""
        return canonical_json(
            {
                "quern": _VERSION,
                "engine": dict(self.engine),
                "strategies": [to_hex(digest) for digest in self.strategies],
            }
        )

    def digest(self) -> bytes:
        """What `Request.equivalence` holds."""
        return sha256(self.encoded())

    @staticmethod
    def decode(data: bytes) -> "EquivalenceClass":
        """From stored bytes. Raises BadEquivalence or MalformedJson."""
        match parse_json("equivalence class", data, max_bytes=MAX_CLASS_BYTES):
            case {"quern": 1, "engine": dict(engine), "strategies": list(strategies), **others} if not others:
                return EquivalenceClass(engine, tuple(from_hex("strategy", digest) for digest in strategies))
            case other:
                fix = 'give {"quern": 1, "engine": {...}, "strategies": [...]} and nothing else'
                raise BadEquivalence("file", other, fix)

    def admits_engine(self, facts: Mapping[str, JsonValue]) -> bool:
        """Whether an engine of these facts (`EngineFacts.digestible()`) is of the class."""
        return all(name in facts and facts[name] == value for name, value in self.engine.items())

    def admits_strategy(self, digest: bytes) -> bool:
        return not self.strategies or digest in self.strategies
