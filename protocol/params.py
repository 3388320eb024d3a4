"""Sampling parameters of a task; `paramsDigest` is the sha256 of their canonical JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, cast

from protocol.digest import MAX_JSON_INT, JsonValue, canonical_json, parse_json, sha256
from protocol.errors import BadInput

MAX_OUTPUT_TOKENS = 1 << 20
MAX_PARAMS_BYTES = 64 * 1024
_MAX_STOPS = 16
_MAX_STOP_CHARS = 256
_FLOAT_LIMITS = {
    "temperature": (0.0, 2.0),
    "top_p": (1e-6, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repetition_penalty": (1e-2, 10.0),
}
_INT_LIMITS = {"top_k": (0, 1 << 20), "seed": (0, MAX_JSON_INT), "max_tokens": (1, MAX_OUTPUT_TOKENS)}


class BadParams(BadInput):
    """A sampling parameter of the wrong type, out of range, or unknown."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("PARAMS-001", field, value, fix)


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """How every prompt is sampled; `max_tokens` holds where a prompt names none. Raises BadParams."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for field, (low, high) in _FLOAT_LIMITS.items():
            object.__setattr__(self, field, _checked_float(field, getattr(self, field), low, high))
        for field, (least, most) in _INT_LIMITS.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise BadParams(field, value, f"give a whole number from {least} to {most}")
        object.__setattr__(self, "stop", _checked_stops(self.stop))

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    def to_json(self) -> dict[str, JsonValue]:
        """Every field, defaults too, so that the digest never depends on what was left unsaid."""
        return {**asdict(self), "stop": list(self.stop)}

    def encoded(self) -> bytes:
        """Canonical JSON: the bytes that are stored and hashed."""
        return canonical_json(self.to_json())

    def digest(self) -> bytes:
        return sha256(self.encoded())

    @staticmethod
    def decode(data: bytes) -> "GenerationParams":
        """From stored bytes. Raises BadParams or MalformedJson."""
        value = parse_json("params", data, max_bytes=MAX_PARAMS_BYTES)
        if not isinstance(value, dict):
            raise BadParams("params", value, "give one JSON object")
        return GenerationParams.from_fields(value)

    @staticmethod
    def from_fields(value: Mapping[str, JsonValue]) -> "GenerationParams":
        """From named values of any origin; `max_tokens` is a must. Raises BadParams."""
        known = {field.name for field in fields(GenerationParams)}
        for name in value:
            if name not in known:
                raise BadParams(name, value[name], f"leave it out; known are {', '.join(sorted(known))}")
        if "max_tokens" not in value:
            raise BadParams("max_tokens", None, f"give a whole number from 1 to {MAX_OUTPUT_TOKENS}")
        return GenerationParams(**cast("dict[str, Any]", dict(value)))


def _checked_float(field: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadParams(field, value, f"give a number from {low} to {high}")
    if not isfinite(value) or not low <= value <= high:
        raise BadParams(field, value, f"give a number from {low} to {high}")
    # Adding zero turns -0.0 into 0.0: one value, one digest.
    return float(value) + 0.0


def _checked_stops(stop: object) -> tuple[str, ...]:
    if not isinstance(stop, list | tuple) or len(stop) > _MAX_STOPS:
        raise BadParams("stop", stop, f"give a list of at most {_MAX_STOPS} texts")
    for text in stop:
        if not isinstance(text, str) or not 1 <= len(text) <= _MAX_STOP_CHARS:
            raise BadParams("stop", text, f"give texts of 1 to {_MAX_STOP_CHARS} characters")
    return tuple(stop)
