"""How good the selector is on the shipped table: on random tasks and unseen models, against every baseline.

Prints one table per split; the last line is one JSON object with `gap_closed_log` and `slowdown` of each
method by split. `--page FILE` also writes the tables, with where they come from, as a page.
"""

import argparse
import json
from pathlib import Path

from metainf.evaluate import Evaluation, evaluate_table
from metainf.model import SHIPPED
from metainf.table import file_sha256, read_table

TABLE = SHIPPED.parent / "cpu.parquet"


def page(evaluation: Evaluation, table: Path) -> str:
    rows = read_table(table)
    first, last = min(row.measured_at for row in rows), max(row.measured_at for row in rows)
    return "\n".join(
        [
            "# The selector on measured tasks",
            "",
            "Written by `scripts/bench/selector --page docs/selector.md`; run it again to replace it. Slowdown is the",
            "geometric mean of a method's cost over the best strategy's, gap closed is 1 - log slowdown / log slowdown",
            "of the single best strategy (SBS); VBS is the oracle. No restart is counted here. Regret is in processor",
            "seconds a task.",
            "",
            f"Table `{table.name}` (SHA-256 `{file_sha256(table)}`): {len(rows)} runs on {rows[0].hardware.name},",
            f"one thread, vLLM {rows[0].engine_version}, {first[:10]} to {last[:10]}.",
            "",
            evaluation.to_markdown(),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/selector", description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE, help="a table of measurements")
    parser.add_argument("--page", type=Path, help="where to write the tables as a page")
    arguments = parser.parse_args()
    evaluation = evaluate_table(arguments.table)
    print(evaluation.to_markdown())
    if arguments.page is not None:
        arguments.page.write_text(page(evaluation, arguments.table), encoding="utf-8")
    figures = {
        split: {
            method: {"gap_closed_log": round(score.gap_closed_log, 4), "slowdown": round(score.slowdown, 4)}
            for method, score in methods.items()
        }
        for split, methods in evaluation.scores.items()
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
