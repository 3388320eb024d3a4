"""Training the meta-model from a table of measurements: the same table gives the same bytes."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from metainf.catalogue import DEFAULT_NAME
from metainf.costs import Cost, costs
from metainf.errors import TooFewMeasurements
from metainf.features import features
from metainf.learner import (
    FIXED_PARAMETERS,
    FOLDS,
    Calibration,
    fit,
    held_out_residuals,
    member_residuals,
    spreads,
)
from metainf.model import MetaModel
from metainf.problem import Floats, Problem
from metainf.roofline import Roofline
from metainf.settings import Settings
from metainf.table import OK, Measurement, file_sha256, read_table
from metainf.trees import written

LEAST_TASKS = 10

_FAILURE_PARAMETERS = {"loss_function": "Logloss", "iterations": 100, "depth": 3, "learning_rate": 0.1}


def measured_problem(measured: Sequence[Cost]) -> tuple[Problem, tuple[str, ...]]:
    """Measured costs as a problem over total seconds, and the names of its features.

    Targets are the log seconds of prefill, decode and total; what is known beforehand is the roofline.
    """
    names: tuple[str, ...] = ()
    rows, rooflines, targets = [], [], []
    for cost in measured:
        named = features(cost.model, cost.hardware, cost.workload, cost.strategy)
        names = tuple(named)
        rows.append(list(named.values()))
        rooflines.append(
            Roofline(cost.model, cost.hardware, cost.workload).plan(Settings.of(cost.strategy)).total_secs
        )
        total = cost.total_secs
        targets.append((cost.prefill_secs, cost.decode_secs, total) if total is not None else (np.nan,) * 3)
    secs = np.array(targets, dtype=np.float64).reshape(-1, 3)
    problem = Problem(
        task_ids=tuple(cost.task_id for cost in measured),
        alternatives=tuple(cost.strategy.name for cost in measured),
        costs=secs[:, 2],
        log_targets=np.log(secs),
        rows=np.array(rows, dtype=np.float32),
        offset_log=np.log(np.array(rooflines)),
        groups={
            "model": tuple(cost.model_name for cost in measured),
            "hardware": tuple(cost.hardware.name for cost in measured),
            "workload_family": tuple(cost.workload.family for cost in measured),
        },
        default=DEFAULT_NAME,
        works=tuple(cost.work for cost in measured),
        feature_names=names,
        task_columns=tuple(
            place for place, name in enumerate(names) if name.startswith(("model_", "hardware_", "workload_"))
        ),
    )
    return problem, names


def train(table: Path) -> MetaModel:
    """The meta-model of a table. Raises `TableUnreadable`, `TooFewMeasurements`."""
    rows = read_table(table)
    return train_rows(rows, file_sha256(table))


def train_rows(rows: Sequence[Measurement], table_sha256: str) -> MetaModel:
    """The meta-model of measurements, whose table's digest it records."""
    import catboost

    measured = costs(rows)
    tasks = {cost.work for cost in measured if cost.total_secs is not None}
    if len(tasks) < LEAST_TASKS:
        raise TooFewMeasurements("measured tasks", len(tasks))
    problem, feature_names = measured_problem(measured)
    failed = np.isnan(problem.costs)
    residuals, regression = held_out_residuals(problem), fit(problem)
    good = [row for row in rows if row.outcome == OK]
    return MetaModel(
        feature_names=feature_names,
        cost_model=written(regression.levels, regression.differences),
        failure_model=_failure_model(problem.rows, failed),
        failure_rate=_rounded((int(failed.sum()) + 1) / (len(failed) + 2)),
        bound_log=_rounded(_bound_log(problem, residuals)),
        spreads_log={name: _rounded(spread) for name, spread in spreads(problem, residuals).items()},
        start_secs=_start_secs(good),
        provenance={
            "table_sha256": table_sha256,
            "runs": len(rows),
            "tasks": len(tasks),
            "strategies": sorted({row.strategy for row in good}),
            "models": sorted({row.model_name for row in good}),
            "hardware": sorted({row.hardware.name for row in good}),
            "vllm_version": good[-1].engine_version,
            "catboost_version": str(catboost.__version__),
        },
    )


def _bound_log(problem: Problem, residuals: Floats) -> float:
    """For a model that nobody measured, on a machine on which others were."""
    models_on: dict[str, set[str]] = defaultdict(set)
    for machine, model in zip(problem.groups["hardware"], problem.groups["model"], strict=True):
        models_on[machine].add(model)
    shared = np.array([len(models_on[machine]) > 1 for machine in problem.groups["hardware"]])
    of_members = member_residuals(problem.take(shared), "model") if shared.any() else ()
    return Calibration(residuals, of_members).bound_log()


def _failure_model(rows: npt.NDArray[np.float32], failed: npt.NDArray[np.bool_]) -> str:
    """A classifier of failures, or nothing where a table has too few of them to learn from."""
    from catboost import CatBoost

    if min(int(failed.sum()), int((~failed).sum())) < FOLDS:
        return ""
    model = CatBoost({**_FAILURE_PARAMETERS, **FIXED_PARAMETERS})
    model.fit(rows, failed.astype(np.int64))
    return written(model)


def _start_secs(rows: Sequence[Measurement]) -> dict[str, float]:
    """Median engine start per strategy, in half seconds: finer differences are noise."""
    starts: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        starts[row.strategy].append(row.start_cpu_secs)
    return {name: round(2 * median(secs)) / 2 for name, secs in sorted(starts.items())}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
