"""The meta-model: predicted seconds and probability of failure for (task, strategy) pairs, in one file
with a digest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metainf.errors import MetaModelUnreadable
from metainf.trees import Trees
from protocol.digest import JsonValue, canonical_json, sha256_hex

FORMAT = "quern-meta-model-2"
# What is read of a stranger's at most.
MAX_BYTES = 16 << 20
SHIPPED = Path(__file__).parent / "data" / "meta-model.json"
# What it was trained on.
SHIPPED_TABLE = SHIPPED.with_name("cpu.parquet")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """Predictions for n candidates, each an array of n: seconds, and the probability of failing."""

    prefill_secs: Floats
    decode_secs: Floats
    total_secs: Floats
    bound_secs: Floats
    p_failure: Floats


@dataclass(frozen=True, slots=True)
class MetaModel:
    """Trees trained by CatBoost with what is needed to use them; build it with `metainf.train` or `load`.

    Both models are the JSON of `metainf.trees`, which takes no CatBoost to read and is safe to read from
    strangers; the failure model may be empty. The cost model predicts log prefill, decode and total seconds
    relative to `metainf.roofline`, so that it carries over to models and machines of another
    speed. `bound_log` is the conformal 90 % bound on log total, `spreads_log` by strategy how far comparisons
    with the default are off, `start_secs` measured engine starts.
    """

    feature_names: tuple[str, ...]
    cost_model: str
    failure_model: str
    failure_rate: float
    bound_log: float
    spreads_log: Mapping[str, float] = field(hash=False)
    start_secs: Mapping[str, float] = field(hash=False)
    provenance: Mapping[str, JsonValue] = field(hash=False)

    def to_bytes(self) -> bytes:
        """The canonical JSON that is hashed and written to disk."""
        return canonical_json(
            {
                "format": FORMAT,
                "feature_names": list(self.feature_names),
                "cost_model": self.cost_model,
                "failure_model": self.failure_model,
                "failure_rate": self.failure_rate,
                "bound_log": self.bound_log,
                "spreads_log": dict(self.spreads_log),
                "start_secs": dict(self.start_secs),
                "provenance": dict(self.provenance),
            }
        )

    def digest(self) -> str:
        """`0x` and the SHA-256 of `to_bytes()`."""
        return sha256_hex(self.to_bytes())

    @classmethod
    def load(cls, path: Path = SHIPPED) -> "MetaModel":
        """Read a meta-model file. Raises `MetaModelUnreadable`."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MetaModelUnreadable(str(path), f"cannot be read ({error.strerror})") from error
        return cls.read(data, str(path))

    @classmethod
    def read(cls, data: bytes, name: str) -> "MetaModel":
        """From `to_bytes`; `name` says in an error whose bytes they are. Raises `MetaModelUnreadable`."""
        try:
            stored = json.loads(data)
            if stored["format"] != FORMAT:
                raise MetaModelUnreadable(name, f"format {stored['format']!r} instead of {FORMAT!r}")
            return cls(
                feature_names=tuple(stored["feature_names"]),
                cost_model=_text(stored["cost_model"]),
                failure_model=_text(stored["failure_model"]),
                failure_rate=float(stored["failure_rate"]),
                bound_log=float(stored["bound_log"]),
                spreads_log=_numbers(stored["spreads_log"]),
                start_secs=_numbers(stored["start_secs"]),
                provenance=dict(stored["provenance"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, MetaModelUnreadable):
                raise
            raise MetaModelUnreadable(name, "not a complete meta-model file") from error

    def predictor(self) -> "Predictor":
        """Ready to predict; unpacks the trees once."""
        return Predictor(self)


def _numbers(stored: Mapping[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in stored.items()}


class Predictor:
    """A meta-model with its trees unpacked."""

    def __init__(self, meta_model: MetaModel) -> None:
        self._cost = _unpack(meta_model.cost_model)
        self._failure = _unpack(meta_model.failure_model) if meta_model.failure_model else None
        self._failure_rate = meta_model.failure_rate
        self._bound_factor = float(np.exp(meta_model.bound_log))

    def predict(self, rows: npt.NDArray[np.float32], roofline_log_secs: Floats) -> Costs:
        """Costs of n pairs from n rows of features (order of `feature_names`) and their roofline
        totals, log seconds.
        """
        seconds = np.exp(self._cost.predict(rows) + roofline_log_secs[:, None])
        if self._failure is None:
            p_failure = np.full(len(rows), self._failure_rate)
        else:
            p_failure = 1.0 / (1.0 + np.exp(-self._failure.predict(rows)[:, 0]))
        return Costs(
            prefill_secs=seconds[:, 0],
            decode_secs=seconds[:, 1],
            total_secs=seconds[:, 2],
            bound_secs=seconds[:, 2] * self._bound_factor,
            p_failure=p_failure,
        )


def _text(stored: object) -> str:
    if not isinstance(stored, str):
        raise TypeError(stored)
    return stored


def _unpack(stored: str) -> Trees:
    """Raises `MetaModelUnreadable` for what holds no trees."""
    try:
        return Trees.read(stored)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise MetaModelUnreadable("trees", f"they cannot be read ({error})") from error
