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

from protocol.digest import canonical_json, sha256_hex

# As the engine room has it: what its configuration takes.
JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


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
        return sha256_hex(canonical_json(self.to_json()))

    def arguments_for(self, dtype: str, kv_cache_bytes: int) -> dict[str, JsonValue]:
        """All engine arguments for a model of this dtype on a machine with this much cache.

        The dtype must be said: vLLM's "auto" runs float32 weights in a 16-bit type on a CPU, which is
        not what was bought.
        """
        return {**self.engine_args, "dtype": dtype, "kv_cache_memory_bytes": kv_cache_bytes}

    def runs_on(self, device: str, vllm_version: str) -> bool:
        """Whether the record is declared for this device and vLLM version."""
        return device in self.devices and SpecifierSet(self.vllm_versions).contains(
            vllm_version, prereleases=True
        )
