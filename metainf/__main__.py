"""`python -m metainf measure`: as `quern metainf measure`, where only vLLM, NumPy and PyArrow are installed."""

import argparse
import sys
from pathlib import Path

from metainf.campaign import Order, budget_secs, measure_here
from metainf.planner import Progress
from protocol.errors import QuernError


def main() -> int:
    """Exit status 2 with one line for what the caller must change."""
    parser = argparse.ArgumentParser(prog="python -m metainf", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("measure", help="sweep the strategies on this machine")
    measure.add_argument("--table", type=Path, required=True, help="table to write or to go on with")
    measure.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    measure.add_argument("--model", type=Path, help="CPU: also measure this model on its own questions")
    measure.add_argument(
        "--shape", action="append", default=[], help="only this model shape; may be repeated"
    )
    measure.add_argument("--repeats", type=int, default=1, help="runs of each task under each strategy")
    measure.add_argument("--resident", type=int, default=1, help="engines kept up side by side")
    measure.add_argument("--budget", help="stop after this long, such as 8m")
    measure.add_argument("--resume", action="store_true", help="go on with a table that exists")
    given = parser.parse_args()
    try:
        order = Order(
            table=given.table,
            device=given.device,
            model=given.model,
            shapes=tuple(given.shape),
            repeats=given.repeats,
            resident=given.resident,
            budget_secs=budget_secs(given.budget),
            resume=given.resume,
        )
        added = measure_here(order, _show)
    except QuernError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    sys.stdout.write(f"added {added} rows to {given.table}\n")
    return 0


def _show(progress: Progress) -> None:
    said = f": {progress.problem}" if progress.problem else ""
    done = f"{progress.done}/{progress.total} {progress.task_id} {progress.strategy} {progress.outcome}"
    sys.stderr.write(f"{done}{said}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
