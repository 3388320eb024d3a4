"""Champion and challenger: a meta-model that has learned from the market's jobs too, and whether it is better.

The champion is judged as a worker uses it, corrected by the jobs that the challenger has learned from; the challenger
as it would begin, uncorrected.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log
from pathlib import Path

from metainf.alike import places
from metainf.choice import SelectionState
from metainf.corrector import Corrector
from metainf.costs import costs, recorded_strategy
from metainf.errors import TooFewMeasurements
from metainf.model import MetaModel
from metainf.online import (
    LEAST_JUDGED_JOBS,
    Residual,
    Verdict,
    judge,
    model_family,
    valid_versions,
)
from metainf.select import Selector
from metainf.table import OK, Measurement, file_sha256, read_table
from metainf.train import train_rows
from protocol.digest import sha256_hex

# The latest jobs, which neither may have learned from.
JUDGED_RATIO = 1 / 3

# A machine and a model family.
_Kind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Challenge:
    """The verdict, and the meta-model that has learned from everything: to be used only if it was promoted."""

    verdict: Verdict
    learned: MetaModel | None


def challenge(champion: MetaModel, table: Path, harvested: Path) -> Challenge:
    """Train on the table and the older harvested jobs, compare both on the latest.

    Jobs of a version of the engine that behaved otherwise than the one that ran last teach nothing. Raises
    `TableUnreadable`, `TooFewMeasurements`.
    """
    base = read_table(table)
    found = _undrifted(_residuals(champion, _in_time(read_table(harvested))))
    older = found[: len(found) - int(len(found) * JUDGED_RATIO)]
    judged = found[len(older) :]
    if len(judged) < LEAST_JUDGED_JOBS:
        raise TooFewMeasurements("harvested jobs", len(found))
    digest = joined_digest((table, harvested))
    challenger = train_rows((*base, *(row for row, _ in older)), digest)
    verdict = judge(
        _errors([residual for _, residual in judged], _correctors([residual for _, residual in older])),
        _errors([residual for _, residual in _residuals(challenger, [row for row, _ in judged])], {}),
    )
    return Challenge(
        verdict, train_rows((*base, *(row for row, _ in found)), digest) if verdict.promoted else None
    )


def joined_digest(tables: Sequence[Path]) -> str:
    """Names one table by its own digest, several by that of theirs in order."""
    digests = [file_sha256(path) for path in tables]
    return digests[0] if len(digests) == 1 else sha256_hex("".join(digests).encode())


def _in_time(rows: Sequence[Measurement]) -> list[Measurement]:
    return sorted((row for row in rows if row.outcome == OK), key=lambda row: (row.measured_at, row.task_id))


def _residuals(meta_model: MetaModel, rows: Sequence[Measurement]) -> list[tuple[Measurement, Residual]]:
    """Each job, which is a task of its own, with what the meta-model is off by; in the order given."""
    selector = Selector(meta_model)
    secs = {cost.task_id: cost.total_secs for cost in costs(rows)}
    found = []
    for row in rows:
        actual = secs.get(row.task_id)
        if actual is not None:
            strategy = recorded_strategy(row)
            choice = selector.select(row.model, row.hardware, row.workload, SelectionState(), [strategy])
            workload, settings = places(row.model, row.hardware, row.workload, strategy)
            residual = Residual(
                hardware=row.hardware.name,
                model_family=model_family(row.model),
                strategy=row.strategy,
                engine_version=row.engine_version,
                log_ratio=log(actual / choice.predictions[0].total_secs),
                at=datetime.fromisoformat(row.measured_at).timestamp(),
                workload=workload,
                settings=settings,
            )
            found.append((row, residual))
    return found


def _undrifted(found: Sequence[tuple[Measurement, Residual]]) -> list[tuple[Measurement, Residual]]:
    versions = {
        kind: valid_versions(of_kind) for kind, of_kind in _by_kind([each for _, each in found]).items()
    }
    return [each for each in found if each[1].engine_version in versions[_kind(each[1])]]


def _correctors(residuals: Sequence[Residual]) -> Mapping[_Kind, Corrector]:
    return {kind: Corrector.of(of_kind) for kind, of_kind in _by_kind(residuals).items()}


def _errors(residuals: Sequence[Residual], correctors: Mapping[_Kind, Corrector]) -> list[float]:
    """Log errors of what was predicted after correction."""
    nothing = Corrector(())
    return [each.log_ratio - correctors.get(_kind(each), nothing).mean(each) for each in residuals]


def _by_kind(residuals: Sequence[Residual]) -> Mapping[_Kind, list[Residual]]:
    found: dict[_Kind, list[Residual]] = defaultdict(list)
    for residual in residuals:
        found[_kind(residual)].append(residual)
    return found


def _kind(residual: Residual) -> _Kind:
    return residual.hardware, residual.model_family
