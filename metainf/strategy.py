"""A strategy: one way to run an engine, as data.

A strategy names vLLM engine arguments and environment variables, nothing else; adding one is adding a
record. Its digest goes into receipts, because the way a result was computed is part of what makes it
reproducible.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from metainf.canonical import record_digest

# As the engine room has it: what its configuration takes.
JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

# Stands in a record for the folder of the draft model that a manifest lists.
DRAFT = "draft"


def is_version(text: str) -> bool:
    """Whether it names a version of vLLM."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def whole(arguments: Mapping[str, JsonValue], name: str) -> int:
    """An argument that must be a whole number. Raises `KeyError` where it is missing, `TypeError` for other values."""
    value = arguments[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}: give a whole number")
    return value


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named, frozen record of engine arguments.

    `devices` and `vllm_versions` (a PEP 440 specifier) say where it is valid. `exact` says whether greedy
    fp32 output was measured to be token for token that of the baseline. `description` is for people and
    outside the digest.
    """

    name: str
    engine_args: Mapping[str, JsonValue] = field(hash=False)
    environment: Mapping[str, str] = field(hash=False)
    devices: tuple[str, ...]
    vllm_versions: str
    exact: bool
    description: str = field(compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine_args", MappingProxyType(dict(self.engine_args)))
        object.__setattr__(self, "environment", MappingProxyType(dict(self.environment)))

    def to_json(self) -> dict[str, JsonValue]:
        """The digested part, as plain JSON values."""
        return {
            "name": self.name,
            "engine_args": dict(self.engine_args),
            "environment": dict(self.environment),
            "devices": list(self.devices),
            "vllm_versions": self.vllm_versions,
            "exact": self.exact,
        }

    def digest(self) -> str:
        """`0x` and the SHA-256 of the canonical JSON of `to_json()`."""
        return record_digest(self.to_json())

    def arguments_for(
        self, dtype: str, kv_cache_bytes: int, draft_dir: str | None = None
    ) -> dict[str, JsonValue]:
        """All engine arguments for a model of this dtype on a machine with this much cache.

        The dtype must be said: vLLM's "auto" runs float32 weights in a 16-bit type on a CPU, which is
        not what was bought. `draft_dir` holds the draft model of a record that drafts; `ValueError` for
        such a record without one.
        """
        arguments = {**self.engine_args, "dtype": dtype, "kv_cache_memory_bytes": kv_cache_bytes}
        speculative = arguments["speculative_config"]
        if isinstance(speculative, Mapping) and speculative.get("model") == DRAFT:
            if draft_dir is None:
                raise ValueError(f"strategy {self.name}: no draft model is given")
            arguments["speculative_config"] = {**speculative, "model": draft_dir}
        return arguments

    def runs_on(self, device: str, vllm_version: str) -> bool:
        """Whether the record is declared for this device and vLLM version."""
        return device in self.devices and SpecifierSet(self.vllm_versions).contains(
            vllm_version, prereleases=True
        )
