"""From receipts to measurements: the history of the market is the meta-dataset.

A receipt says what was known before a batch ran, what was chosen for it and how long it took. Only a batch that had
its worker's machine to itself tells what its strategy costs: receipts of one choice are put together, and those whose
time overlaps with another choice's are left out. Times are a worker's word, so no worker's may outweigh the others'.
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite, log
from statistics import fmean, median

from metainf.alike import places
from metainf.catalogue import EXTRAS, catalogue
from metainf.choice import Prediction, SelectionRecord
from metainf.costs import LEAST_SECS
from metainf.errors import RecordUnreadable
from metainf.feasible import obstacle
from metainf.features import features
from metainf.online import Residual, model_family
from metainf.roofline import Roofline
from metainf.settings import Settings
from metainf.strategy import Strategy
from metainf.table import OK, Measurement
from protocol.digest import JsonValue, canonical_json, sha256_hex
from protocol.receipt import ReceiptDocument

# Of one worker's jobs so many times the median worker's are taken, the latest.
MOST_OF_MEDIAN = 3
# And never fewer than this, so that a young market teaches something.
LEAST_KEPT = 64
# The year 9999; a body may name any 64 bits.
_LAST_MS = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Served:
    """One task's part in a batch, from its receipt. Times are unix seconds; `first_token_secs` is the mean time to a
    prompt's first token, None where the receipt does not say. `resumed` after a crash it was away in between.
    """

    task_id: bytes
    worker: str
    record: SelectionRecord
    prompts: int
    prompt_tokens: int
    output_tokens: int
    started_at: float
    finished_at: float
    first_token_secs: float | None
    engine: Mapping[str, JsonValue]
    start_secs: float
    resumed: bool = False

    @classmethod
    def of(cls, document: ReceiptDocument) -> "Served":
        """From a receipt that was checked. Raises `RecordUnreadable`."""
        body = document.body
        if not body.started_at_ms <= body.finished_at_ms <= _LAST_MS:
            raise RecordUnreadable("finished_at_ms", "no time after the start that a calendar has")
        return cls(
            task_id=body.task_id,
            worker=body.worker,
            record=SelectionRecord.from_json(dict(document.selection)),
            prompts=sum(row.finish_reason != "error" for row in document.table),
            prompt_tokens=body.prompt_tokens,
            output_tokens=document.output_tokens,
            started_at=body.started_at_ms / 1000,
            finished_at=body.finished_at_ms / 1000,
            first_token_secs=_mean(document.timings.get("first_token_secs")),
            engine=document.engine,
            start_secs=_number(document.timings.get("engine_start_secs")),
            resumed="resumed" in document.timings,
        )


def _mean(values: JsonValue) -> float | None:
    found = (
        [_number(value) for value in values if value is not None] if isinstance(values, list | tuple) else []
    )
    return fmean(found) if found else None


def _number(value: JsonValue) -> float:
    """Timings are not committed to, so anything may stand there."""
    sound = isinstance(value, int | float) and isfinite(value) and value >= 0
    return float(value) if sound else 0.0  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Job:
    """A whole batch that had its machine to itself."""

    parts: tuple[Served, ...]

    @property
    def record(self) -> SelectionRecord:
        return self.parts[0].record

    @property
    def worker(self) -> str:
        return self.parts[0].worker

    @property
    def finished_at(self) -> float:
        return max(part.finished_at for part in self.parts)

    @property
    def secs(self) -> float:
        """From the first prompt's start to the last one's end."""
        return max(self.finished_at - min(part.started_at for part in self.parts), LEAST_SECS)

    @property
    def engine_version(self) -> str:
        return str(self.parts[0].engine.get("version", ""))

    @property
    def predicted(self) -> Prediction:
        """What was expected of the strategy taken."""
        record = self.record
        return next(each for each in record.predictions if each.strategy == record.chosen)


def jobs(served: Iterable[Served]) -> list[Job]:
    """The batches that are complete and ran alone, in order of time; each task counts once."""
    by_worker: dict[str, dict[tuple[str, float], dict[bytes, Served]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for part in served:
        batch = part.record.digest(), part.started_at
        by_worker[part.worker][batch][part.task_id] = part
    found = []
    for batches in by_worker.values():
        every = [
            Job(tuple(sorted(parts.values(), key=lambda each: each.task_id))) for parts in batches.values()
        ]
        found += [job for job in _alone(every) if _is_whole(job)]
    return sorted(found, key=lambda job: (job.finished_at, job.parts[0].task_id))


def _alone(every: Sequence[Job]) -> list[Job]:
    """Those during which no other batch of the same worker ran."""
    ordered = sorted(every, key=lambda job: (job.finished_at - job.secs, job.finished_at))
    crowded: set[int] = set()
    latest = 0
    for place, (before, after) in enumerate(pairwise(ordered), start=1):
        if before.finished_at >= ordered[latest].finished_at:
            latest = place - 1
        if after.finished_at - after.secs < ordered[latest].finished_at:
            crowded |= {latest, place}
    return [job for place, job in enumerate(ordered) if place not in crowded]


def _is_whole(job: Job) -> bool:
    """Whether all prompts the choice was made for are there, in one go, and it named what it took."""
    workload, record = job.record.workload, job.record
    return (
        sum(part.prompts for part in job.parts) == workload.prompts
        and sum(part.prompt_tokens for part in job.parts) == workload.prompt_tokens
        and not any(part.resumed for part in job.parts)
        and any(each.strategy == record.chosen and each.total_secs > 0 for each in record.predictions)
    )


def residual(job: Job, strategy: Strategy) -> Residual:
    """By how much the meta-model itself was off, whatever corrections the choice was made with; `strategy` is the one
    taken.
    """
    record = job.record
    workload, settings = places(record.model, record.hardware, record.workload, strategy)
    by_strategy = record.state.corrections_log
    correction = by_strategy.get(record.chosen, by_strategy.get("", 0.0))
    return Residual(
        hardware=record.hardware.name,
        model_family=model_family(record.model),
        strategy=record.chosen,
        engine_version=job.engine_version,
        log_ratio=log(job.secs / job.predicted.total_secs) + correction,
        at=job.finished_at,
        workload=workload,
        settings=settings,
    )


@dataclass(frozen=True, slots=True)
class Harvest:
    """Rows for a table, and what was left out: jobs of strategies nobody here knows, jobs whose facts nothing follows
    from, and jobs beyond their worker's share.
    """

    rows: tuple[Measurement, ...]
    unknown_strategy: int
    impossible_facts: int
    beyond_share: int


def harvest(found: Sequence[Job], strategies: Sequence[Strategy] = ()) -> Harvest:
    """Jobs as measurements, each its own task. `strategies` are known beside the catalogue's."""
    kept = _capped(found)
    rows, unknown, impossible = [], 0, 0
    for job in kept:
        strategy = _strategy_of(job, strategies)
        if strategy is None:
            unknown += 1
        elif not _is_possible(job.record, strategy):
            impossible += 1
        else:
            rows.append(_row(job, strategy))
    return Harvest(tuple(rows), unknown, impossible, len(found) - len(kept))


def _is_possible(record: SelectionRecord, strategy: Strategy) -> bool:
    """A stranger may record a model of no heads or a machine without memory, on which training would end."""
    model, hardware, workload, settings = (
        record.model,
        record.hardware,
        record.workload,
        Settings.of(strategy),
    )
    try:
        if obstacle(model, hardware, workload, settings) is not None:
            return False
        numbers = array("f", features(model, hardware, workload, strategy).values())
        total_secs = Roofline(model, hardware, workload).plan(settings).total_secs
    except (ArithmeticError, LookupError, ValueError):
        return False
    return all(map(isfinite, numbers)) and isfinite(total_secs) and total_secs > 0


def _capped(found: Sequence[Job]) -> list[Job]:
    """The latest of each worker, none with much more than the others have."""
    by_worker: dict[str, list[Job]] = defaultdict(list)
    for job in sorted(found, key=lambda each: each.finished_at):
        by_worker[job.worker].append(job)
    if not by_worker:
        return []
    most = max(LEAST_KEPT, int(MOST_OF_MEDIAN * median(len(of_worker) for of_worker in by_worker.values())))
    return [job for _, of_worker in sorted(by_worker.items()) for job in of_worker[-most:]]


def _strategy_of(job: Job, strategies: Sequence[Strategy]) -> Strategy | None:
    known = (*strategies, *catalogue(job.record.hardware.device, job.engine_version or "0", EXTRAS))
    return next((each for each in known if each.digest() == job.record.chosen_digest), None)


def _row(job: Job, strategy: Strategy) -> Measurement:
    """A receipt knows the clock only; the machine was the job's own, so that is also what it cost."""
    record, secs = job.record, job.secs
    first = [part.first_token_secs for part in job.parts if part.first_token_secs is not None]
    expected = job.predicted.prefill_secs / max(job.predicted.total_secs, LEAST_SECS)
    prefill = min(fmean(first) if first else secs * min(expected, 1.0), secs)
    start_secs = max(part.start_secs for part in job.parts)
    engine = job.parts[0].engine
    return Measurement(
        task_id=f"harvest/{job.parts[0].task_id.hex()}",
        model_name=f"{record.model.parameters / 1e6:.4g}M: {model_family(record.model)}",
        workload_name=record.workload.family,
        repeat=0,
        strategy=strategy.name,
        strategy_digest=strategy.digest(),
        strategy_json=json.dumps(strategy.to_json(), sort_keys=True),
        model=record.model,
        hardware=record.hardware,
        workload=record.workload,
        outcome=OK,
        problem="",
        cpu_secs=secs,
        prefill_cpu_secs=prefill,
        decode_cpu_secs=secs - prefill,
        wall_secs=secs,
        prefill_wall_secs=prefill,
        decode_wall_secs=secs - prefill,
        start_cpu_secs=start_secs,
        start_wall_secs=start_secs,
        prompt_tokens=record.workload.prompt_tokens,
        generated_tokens=sum(part.output_tokens for part in job.parts),
        prefix_hit_tokens=0,
        preemptions=0,
        draft_tokens=0,
        accepted_tokens=0,
        outputs_sha256=sha256_hex(canonical_json([part.task_id.hex() for part in job.parts])),
        load_average=0.0,
        measured_at=datetime.fromtimestamp(job.finished_at, UTC).isoformat(timespec="seconds"),
        engine=str(engine.get("engine", "")),
        engine_version=job.engine_version,
        engine_dtype=str(engine.get("dtype", "")),
        python_version="",
        platform=job.worker,
    )
