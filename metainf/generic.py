"""Any table of costs, to judge selectors beyond our own measurements.

CSV or Parquet with the columns `task_id, alternative, cost` and optionally

- `group_*` (for instance `group_model`, `group_hardware`), to leave out one member at a time;
- `fold`, to split as given;
- `t_*` and `a_*`, features of the task and of the alternative, numbers or text;
- `censored`, true where a run was stopped unfinished at `cost`;
- `expected`, what is known of the cost beforehand, for instance a roofline: costs are learned relative to it.

A missing, non-positive or infinite cost is a failure. A text of few kinds becomes a column for each, one of
many kinds a number in alphabetical order.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metainf.errors import TableUnreadable
from metainf.problem import Floats, Fold, Problem
from metainf.table import read_parquet

_NAMES = ("task_id", "alternative")
_TRUE = frozenset({"1", "true", "yes", "t", "y"})
_FALSE = frozenset({"", "0", "false", "no", "f", "n", "none", "nan"})
_MOST_KINDS = 32
# Features are 32-bit numbers.
_LARGEST = float(np.finfo(np.float32).max)
_SURPLUS = "surplus fields"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row with where it stands, for messages."""

    path: Path
    line: int
    values: Mapping[str, object]

    def text(self, name: str) -> str:
        value = self.values.get(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> float:
        """NaN where empty. Raises `TableUnreadable`."""
        text = self.text(name).strip()
        try:
            return float(text) if text else float("nan")
        except ValueError as error:
            raise self.unreadable(f"{name} {text!r} is no number") from error

    def unreadable(self, problem: str) -> TableUnreadable:
        return TableUnreadable(str(self.path), f"line {self.line}: {problem}")


def read_problem(path: Path, default: str | None = None) -> Problem:
    """The problem in a file. Raises `TableUnreadable` naming a missing column or an unreadable line."""
    return _problem(_read(path, "cost"), default)


def read_fold(path: Path, test: Path, default: str | None = None) -> Fold:
    """One table to learn from and another to predict, which need not have costs. Raises `TableUnreadable`."""
    train_rows, test_rows = _read(path, "cost"), _read(test)
    both = _problem(train_rows + test_rows, default)
    is_train = np.arange(len(both.task_ids)) < len(train_rows)
    return Fold(both.take(is_train), both.take(~is_train))


def _read(path: Path, *more: str) -> list[_Row]:
    found = _read_rows(path)
    if not found:
        raise TableUnreadable(str(path), "no rows")
    missing = [name for name in (*_NAMES, *more) if name not in found[0]]
    if missing:
        raise TableUnreadable(str(path), f"columns missing: {', '.join(missing)}")
    rows = [_Row(path, line, values) for line, values in enumerate(found, start=2)]
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if _SURPLUS in row.values:
            raise row.unreadable("more fields than columns")
        pair = row.text("task_id"), row.text("alternative")
        if "" in pair:
            raise row.unreadable("task_id and alternative must be given")
        if pair in seen:
            raise row.unreadable(f"alternative {pair[1]!r} of task {pair[0]!r} is there twice")
        seen.add(pair)
    return rows


def _read_rows(path: Path) -> Sequence[Mapping[str, object]]:
    if path.suffix == ".parquet":
        found: list[Mapping[str, object]] = read_parquet(path).to_pylist()
        return found
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, restkey=_SURPLUS))
    except OSError as error:
        raise TableUnreadable(str(path), f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableUnreadable(str(path), f"no CSV text ({error})") from error


def _problem(rows: Sequence[_Row], default: str | None) -> Problem:
    columns = sorted({name for row in rows for name in row.values})
    alternatives = tuple(row.text("alternative") for row in rows)
    names: list[str] = []
    features: list[Floats] = []
    for name in columns:
        if name.startswith(("t_", "a_")):
            for label, values in _as_numbers(name, [row.text(name).strip() for row in rows]):
                for place in np.flatnonzero(np.abs(values) > _LARGEST):
                    raise rows[place].unreadable(f"{name} {rows[place].text(name)!r} is too large")
                names.append(label)
                features.append(values)
    for alternative in sorted(set(alternatives)):
        names.append(f"alternative={alternative}")
        features.append(np.array([float(other == alternative) for other in alternatives]))
    measured = np.array([_positive(row.number("cost")) for row in rows])
    stopped = np.array([_flag(row, "censored") for row in rows])
    costs = np.where(stopped, np.nan, measured)
    expected = np.array([_positive(row.number("expected")) for row in rows])
    return Problem(
        task_ids=tuple(row.text("task_id") for row in rows),
        alternatives=alternatives,
        costs=costs,
        log_targets=np.log(costs)[:, None],
        rows=np.stack(features, axis=1).astype(np.float32),
        offset_log=np.log(expected) if np.isfinite(expected).all() else np.zeros(len(rows)),
        groups={
            name.removeprefix("group_"): tuple(row.text(name) for row in rows)
            for name in columns
            if name.startswith("group_") or name == "fold"
        },
        default=default,
        cut_offs=np.where(stopped, measured, np.nan) if stopped.any() else None,
        feature_names=tuple(names),
        task_columns=tuple(place for place, name in enumerate(names) if name.startswith("t_")),
    )


def _positive(value: float) -> float:
    return value if np.isfinite(value) and value > 0 else float("nan")


def _flag(row: _Row, name: str) -> bool:
    text = row.text(name).strip().lower()
    if text not in _TRUE | _FALSE:
        raise row.unreadable(f"{name} {text!r} is neither true nor false")
    return text in _TRUE


def _as_numbers(name: str, texts: Sequence[str]) -> list[tuple[str, npt.NDArray[np.float64]]]:
    """A feature as one column of numbers, or one per kind of text."""
    flags = {"true": "1", "false": "0"}
    try:
        return [
            (name, np.array([float(flags.get(text.lower(), text)) if text else np.nan for text in texts]))
        ]
    except ValueError:
        kinds = sorted(set(texts))
    if len(kinds) > _MOST_KINDS:
        places = {text: float(place) for place, text in enumerate(kinds)}
        return [(name, np.array([places[text] for text in texts]))]
    return [(f"{name}={kind}", np.array([float(text == kind) for text in texts])) for kind in kinds]
