"""What went wrong with engines: kept for the meta-model, and heeded until there is reason to try again."""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter

from engine.base import EngineError, EngineFacts, EngineHung, EngineOutOfMemory
from metainf import HardwareFacts, ModelFacts, Strategy, Workload
from metainf.table import CRASHED, HUNG, START_FAILED, Measurement
from protocol.digest import JsonValue
from worker.models import ServedModel
from worker.words import shown_secs

_FIRST_REST_SECS = 600.0
_LONGEST_REST_SECS = 86_400.0
_COUNTED_FAILURES = 64


@dataclass(frozen=True, slots=True)
class Trouble:
    """A strategy's failure on a model. `tokens` were in the engine, or waited for its start: prompts, and all they may
    become. `document` is what a table of measurements must know besides.
    """

    at: float
    model_id: bytes
    strategy: str
    outcome: str
    problem: str
    tokens: int
    document: str
    forgiven: int = 0


def trouble(
    error: EngineError,
    model: ServedModel,
    strategy: Strategy,
    hardware: HardwareFacts,
    workload: Workload,
    facts: EngineFacts | None,
) -> Trouble:
    """`facts` are those of the engine that failed; None if it did not come up."""
    document: dict[str, JsonValue] = {
        "model_name": model.path.name,
        "model": model.facts.to_json(),
        "hardware": hardware.to_json(),
        "workload": workload.to_json(),
        "strategy_digest": strategy.digest(),
        "strategy": strategy.to_json(),
        "load_average": os.getloadavg()[0],
        "start_secs": 0.0 if facts is None else facts.start_secs,
        "engine": "" if facts is None else facts.engine,
        "engine_version": "" if facts is None else facts.version,
        "engine_dtype": "" if facts is None else facts.dtype,
    }
    outcome = START_FAILED if facts is None else HUNG if isinstance(error, EngineHung) else CRASHED
    return Trouble(
        at=time.time(),
        model_id=model.id,
        strategy=strategy.name,
        outcome=outcome,
        problem=str(error),
        tokens=0 if facts is None and not isinstance(error, EngineOutOfMemory) else _tokens(workload),
        document=json.dumps(document),
    )


def _tokens(workload: Workload) -> int:
    return workload.prompt_tokens + workload.output_tokens


class Troubles:
    """Which strategies rest, and how long: ten minutes after a failure, twice as long after each that follows, a day
    at most; only for work as large as what it failed on. Success on work of that size ends it.
    """

    def __init__(self, known: Iterable[Trouble]) -> None:
        self._standing: dict[tuple[bytes, str], list[Trouble]] = {}
        for each in known:
            if not each.forgiven:
                self.note(each)

    def note(self, each: Trouble) -> None:
        self._standing.setdefault((each.model_id, each.strategy), []).append(each)

    def resting(self, model_id: bytes, tokens: int, now: float) -> Mapping[str, str]:
        """Strategies not to be taken now for that many tokens of this model, and why."""
        return {
            strategy: f"{standing[-1].outcome} {shown_secs(now - standing[-1].at)} ago"
            for (model, strategy), standing in self._standing.items()
            if model == model_id
            and min(each.tokens for each in standing) <= tokens
            and now < standing[-1].at + _rest_secs(len(standing))
        }

    def forgive(self, model_id: bytes, strategy: str, tokens: int) -> bool:
        """It got through that many tokens, 0 for a start; whether that ends a rest."""
        key = (model_id, strategy)
        standing = self._standing.get(key, [])
        left = [each for each in standing if each.tokens > tokens]
        if left:
            self._standing[key] = left
        else:
            self._standing.pop(key, None)
        return len(left) < len(standing)


def _rest_secs(failures: int) -> float:
    # More doublings than it takes to the longest, and few enough for a float.
    failures = min(failures, _COUNTED_FAILURES)
    return min(_LONGEST_REST_SECS, _FIRST_REST_SECS * 2.0 ** (failures - 1))


def measurement_of(each: Trouble) -> Measurement:
    """As a row of a table that `quern metainf train` reads: a run without times that says why."""
    known = json.loads(each.document)
    hardware = TypeAdapter(HardwareFacts).validate_python(known["hardware"])
    workload = TypeAdapter(Workload).validate_python(known["workload"])
    name = f"worker-{workload.prompts}x{workload.prompt_quantiles[1]}to{workload.output_quantiles[1]}"
    return Measurement(
        task_id=f"{known['model_name']}/{hardware.kv_cache_bytes >> 20}MiB/{name}",
        model_name=known["model_name"],
        workload_name=name,
        repeat=0,
        strategy=each.strategy,
        strategy_digest=known["strategy_digest"],
        strategy_json=json.dumps(known["strategy"], sort_keys=True),
        model=TypeAdapter(ModelFacts).validate_python(known["model"]),
        hardware=hardware,
        workload=workload,
        outcome=each.outcome,
        problem=each.problem,
        prompt_tokens=0,
        generated_tokens=0,
        prefix_hit_tokens=0,
        preemptions=0,
        draft_tokens=0,
        accepted_tokens=0,
        outputs_sha256="",
        load_average=known["load_average"],
        measured_at=datetime.fromtimestamp(each.at, UTC).isoformat(timespec="seconds"),
        engine=known["engine"],
        engine_version=known["engine_version"],
        engine_dtype=known["engine_dtype"],
        python_version=platform.python_version(),
        platform=platform.system(),
        cpu_secs=0.0,
        prefill_cpu_secs=0.0,
        decode_cpu_secs=0.0,
        wall_secs=0.0,
        prefill_wall_secs=0.0,
        decode_wall_secs=0.0,
        start_cpu_secs=0.0,
        start_wall_secs=known["start_secs"],
    )
