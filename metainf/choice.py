"""What the selector is told beside the task, and what it answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from metainf.errors import RecordUnreadable
from metainf.explore import NO_EXPLORATION, Exploration
from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.strategy import Strategy
from protocol.digest import JsonValue, canonical_json, sha256_hex

# In no record from before they were known.
_LEFT_OUT_IF_EMPTY = ("foregone_secs", "optimism_ratio")


@dataclass(frozen=True, slots=True)
class SelectionState:
    """The worker's side of a choice.

    `running` is the strategy that generates or did so last, `resident` are those whose engines are up for
    this model, `running` among them or not: starting any of these costs nothing. `queued_jobs` is how many
    more jobs of this kind wait (a restart is shared among them), `restart_secs` what starting a strategy
    costs here (missing ones: the measured starts of the meta-model), `foregone_secs` what the jobs so far would
    have saved under strategies that are not up (`metainf.foregone`), which is taken off their starts,
    `budget_secs` and `deadline_secs` limits on this job's time, the second counted from now with the start
    included, `allowed` the names that may be used (None: all). `corrections_log` is what jobs run here add to
    predicted log seconds, by strategy, `optimism_ratio` the share of its run by which a strategy counts less in
    comparisons for being less known (both of `metainf.corrector`); `exploration` whether this choice may try
    something.
    """

    running: str | None = None
    resident: tuple[str, ...] = ()
    queued_jobs: int = 0
    restart_secs: Mapping[str, float] = field(default_factory=dict, hash=False)
    foregone_secs: Mapping[str, float] = field(default_factory=dict, hash=False)
    budget_secs: float | None = None
    deadline_secs: float | None = None
    allowed: tuple[str, ...] | None = None
    corrections_log: Mapping[str, float] = field(default_factory=dict, hash=False)
    optimism_ratio: Mapping[str, float] = field(default_factory=dict, hash=False)
    exploration: Exploration = NO_EXPLORATION

    def __post_init__(self) -> None:
        for name in ("restart_secs", "corrections_log", *_LEFT_OUT_IF_EMPTY):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def to_json(self) -> dict[str, JsonValue]:
        """Plain JSON values. What records did not have from the first is left out where it is empty, as it is there."""
        later: dict[str, JsonValue] = {
            name: dict(found) for name in _LEFT_OUT_IF_EMPTY if (found := getattr(self, name))
        }
        return {
            "running": self.running,
            "resident": list(self.resident),
            "queued_jobs": self.queued_jobs,
            "restart_secs": dict(self.restart_secs),
            **later,
            "budget_secs": self.budget_secs,
            "deadline_secs": self.deadline_secs,
            "allowed": None if self.allowed is None else list(self.allowed),
            "corrections_log": dict(self.corrections_log),
            "exploration": asdict(self.exploration),
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """One candidate's expected cost in seconds; `bound_secs` is the calibrated 90 % bound on the total.

    `restart_secs` is what switching to it would cost, zero for one whose engine is up.
    """

    strategy: str
    total_secs: float
    prefill_secs: float
    decode_secs: float
    bound_secs: float
    p_failure: float
    restart_secs: float


@dataclass(frozen=True, slots=True)
class SelectionRecord:
    """Everything needed to make the same choice again; its digest stands in the receipt as
    `strategyDigest`. `propensity` is the probability with which the lot let this strategy be taken.
    """

    model: ModelFacts
    hardware: HardwareFacts
    workload: Workload
    state: SelectionState
    candidates: tuple[tuple[str, str], ...]
    meta_model_digest: str
    predictions: tuple[Prediction, ...]
    chosen: str
    chosen_digest: str
    reason_code: str
    propensity: float

    def to_json(self) -> dict[str, JsonValue]:
        """Plain JSON values; the inverse is `from_json`."""
        return {
            "model": self.model.to_json(),
            "hardware": self.hardware.to_json(),
            "workload": self.workload.to_json(),
            "state": self.state.to_json(),
            "candidates": [list(candidate) for candidate in self.candidates],
            "meta_model_digest": self.meta_model_digest,
            "predictions": [asdict(prediction) for prediction in self.predictions],
            "chosen": self.chosen,
            "chosen_digest": self.chosen_digest,
            "reason_code": self.reason_code,
            "propensity": self.propensity,
        }

    @classmethod
    def from_json(cls, values: JsonValue) -> "SelectionRecord":
        """Read a record that may come from a stranger. Raises `RecordUnreadable` for anything missing,
        extra or wrong.
        """
        from pydantic import TypeAdapter, ValidationError

        written = canonical_json(values)
        try:
            record = TypeAdapter(cls).validate_json(written, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RecordUnreadable(where or "record", first["msg"]) from error
        if canonical_json(record.to_json()) != written:
            raise RecordUnreadable("record", "fields that no selection writes")
        return record

    def digest(self) -> str:
        """`0x` and the SHA-256 of the canonical JSON of `to_json()`."""
        return sha256_hex(canonical_json(self.to_json()))


@dataclass(frozen=True, slots=True)
class Choice:
    """The strategy taken, what was predicted of every feasible candidate, and why, as a code and in plain
    words.
    """

    strategy: Strategy
    predictions: tuple[Prediction, ...]
    reason_code: str
    reason: str
    record: SelectionRecord
