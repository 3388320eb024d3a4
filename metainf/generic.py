"""Any table of costs, to judge the learner beyond our own measurements.

CSV or Parquet with the columns `task_id, alternative, cost` and optionally `group_*` (for instance
`group_model`, `group_hardware`), `fold`, and features whose names begin with `t_` (of the task) or `a_`
(of the alternative). A missing or non-positive cost is a failure. Text features are numbered in
alphabetical order.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metainf.errors import TableUnreadable
from metainf.problem import Problem
from metainf.table import read_parquet

_REQUIRED = ("task_id", "alternative", "cost")


def read_problem(path: Path, default: str | None = None) -> Problem:
    """The problem in a file. Raises `TableUnreadable` naming a missing column or an unreadable line."""
    rows = _read_rows(path)
    if not rows:
        raise TableUnreadable(str(path), "no rows")
    columns = tuple(rows[0])
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise TableUnreadable(str(path), f"columns missing: {', '.join(missing)}")
    alternatives = tuple(str(row["alternative"]) for row in rows)
    features = [_as_numbers([row[name] for row in rows]) for name in columns if name.startswith(("t_", "a_"))]
    features += [
        np.array([float(alternative == name) for alternative in alternatives])
        for name in sorted(set(alternatives))
    ]
    costs = np.array([_cost(path, line, row["cost"]) for line, row in enumerate(rows, start=2)])
    groups = {
        name.removeprefix("group_"): tuple(str(row[name]) for row in rows)
        for name in columns
        if name.startswith("group_") or name == "fold"
    }
    return Problem(
        task_ids=tuple(str(row["task_id"]) for row in rows),
        alternatives=alternatives,
        costs=costs,
        log_targets=np.log(costs)[:, None],
        rows=np.stack(features, axis=1).astype(np.float32),
        offset_log=np.zeros(len(rows)),
        groups=groups,
        default=default,
    )


def _read_rows(path: Path) -> Sequence[Mapping[str, object]]:
    if path.suffix == ".parquet":
        found: list[Mapping[str, object]] = read_parquet(path).to_pylist()
        return found
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise TableUnreadable(str(path), f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableUnreadable(str(path), f"no CSV text ({error})") from error


def _cost(path: Path, line: int, value: object) -> float:
    try:
        cost = float(str(value)) if value not in (None, "") else float("nan")
    except ValueError as error:
        raise TableUnreadable(str(path), f"line {line}: cost {value!r} is no number") from error
    return cost if np.isfinite(cost) and cost > 0 else float("nan")


def _as_numbers(values: Sequence[object]) -> npt.NDArray[np.float64]:
    try:
        return np.array([float(str(value)) if value not in (None, "") else np.nan for value in values])
    except ValueError:
        places = {text: place for place, text in enumerate(sorted({str(value) for value in values}))}
        return np.array([float(places[str(value)]) for value in values])
