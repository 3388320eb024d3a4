"""An evaluation as people read it: tables in Markdown, and the selector's choices as a file."""

import csv
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from metainf.bounds import Promises
from metainf.errors import PredictionsUnwritable
from metainf.evaluate import SELECTOR, Chosen, Evaluation
from metainf.files import in_place_of
from metainf.judge import Score
from metainf.replay import FROZEN, INFORMED, ONLINE, SINGLE, Replayed

_HEADINGS = (
    "method",
    "slowdown (95 %)",
    "gap closed, log (95 %)",
    "raw",
    "mean regret",
    "p95 regret",
    "best taken",
    "F1",
    "over default",
    "slower than the selector (95 %)",
    "ms a task",
)
_COLUMNS = ("split", "task_id", "alternative", "predicted_cost", "measured_cost")


def to_markdown(evaluation: Evaluation) -> str:
    """One table per split, and a line about the bounds."""
    lines: list[str] = []
    for split, methods in evaluation.scores.items():
        lines += [f"**{split}** ({next(iter(methods.values())).tasks} tasks)", ""]
        lines += _table(methods)
        if split in evaluation.promises:
            lines += ["", _of_bounds(evaluation.promises[split])]
        lines.append("")
    if not evaluation.scores:
        lines.append("No task has two known costs: nothing can be scored.")
    return "\n".join(lines)


def _table(methods: Mapping[str, Score]) -> list[str]:
    rows = [
        f"| {' | '.join(_HEADINGS)} |",
        f"|{' --- |' * len(_HEADINGS)}",
    ]
    for name, s in methods.items():
        over = "" if s.acceleration is None else f"{s.acceleration:.2f}x"
        against = (
            ""
            if name == SELECTOR
            else f"{_percent(s.over_selector)} ({_percent(s.over_selector_low)} to {_percent(s.over_selector_high)})"
        )
        rows.append(
            f"| {name} | {s.slowdown:.4f} ({s.slowdown_low:.3f} to {s.slowdown_high:.3f}) "
            f"| {s.gap_closed_log:.3f} ({s.gap_closed_log_low:.2f} to {s.gap_closed_log_high:.2f}) "
            f"| {s.gap_closed_raw:.2f} | {s.mean_regret:.3g} | {s.p95_regret:.3g} | {s.top1_accuracy:.0%} "
            f"| {s.f1:.2f} | {over} | {against} | {s.decision_ms:.2f} |"
        )
    return rows


def _percent(ratio: float) -> str:
    return f"{ratio - 1:+.1%}"


def _of_bounds(promises: Promises) -> str:
    return (
        f"The 90 % bounds cover {promises.coverage_at_bound:.1%} of costs; {promises.promised_ratio:.0%} of the "
        f"budgets given are promised, {promises.missed_ratio:.1%} promised and missed."
    )


def check_writable(path: Path) -> None:
    """Raises `PredictionsUnwritable` for a name that `write_choices` knows no format of."""
    if path.suffix not in (".csv", ".parquet"):
        raise PredictionsUnwritable(str(path))


def write_choices(chosen: Sequence[Chosen], path: Path) -> None:
    """What was taken for each task and split, as CSV or Parquet by the file's name. Raises `PredictionsUnwritable`."""
    check_writable(path)
    rows = [
        (
            row.split,
            row.task_id,
            row.alternative,
            row.predicted,
            row.measured if isfinite(row.measured) else None,
        )
        for row in chosen
    ]
    with in_place_of(path) as unfinished:
        if path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            columns = dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
            pq.write_table(pa.table(columns), unfinished)
            return
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(rows)


def replayed_rows(found: Sequence[Replayed]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows: mean regret a job of each selector after the first jobs with something never seen."""
    names = (SINGLE, FROZEN, ONLINE, INFORMED)
    headings = ("NEWCOMER", *(name.upper() for name in names), "ONLINE/INFORMED", "RETRAINED", "PROMOTED")
    rows = [
        (
            each.newcomer,
            *(f"{np.expm1(each.mean_after(name)):.2%}" for name in names),
            f"{each.ratio:.2f}",
            f"{each.retrained:g}",
            f"{each.promoted:g}",
        )
        for each in found
    ]
    return headings, rows
