"""Lines and branches of the contracts that the Solidity tests reach."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chain.node import HARDHAT_DIR
from scripts.prove.copy import WEIGHTS, Copy

WORK = HARDHAT_DIR / "cache" / "coverage"
REPORT = "lcov.info"
LIMIT_SECS = 3600
GOAL_LINES, GOAL_BRANCHES = 98.0, 95.0
# The fuzzers' check of themselves makes thousands of calls: more memory than forge has where it does not optimise.
LEFT_OUT = f"{WEIGHTS}|^test_handler_makesEveryMove"
# Short runs of the fuzzers reach what long ones do.
QUICK = {"FOUNDRY_FUZZ_RUNS": "32", "FOUNDRY_INVARIANT_RUNS": "4", "FOUNDRY_INVARIANT_DEPTH": "60"}


@dataclass(frozen=True, slots=True)
class Reach:
    """Of one file: how many lines and branches there are and were reached, and the line numbers of those missed."""

    file: str
    lines: int
    lines_hit: int
    branches: int
    branches_hit: int
    missed_lines: tuple[int, ...]
    missed_branches: tuple[int, ...]

    def without(self, unseen: frozenset[int]) -> "Reach":
        """Less the lines among `unseen` that were counted as missed."""
        missed = tuple(line for line in self.missed_lines if line not in unseen)
        dropped = len(self.missed_lines) - len(missed)
        return replace(self, lines=self.lines - dropped, missed_lines=missed)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/prove/coverage", description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the copy")
    options = parser.parse_args(arguments)

    copy = Copy(options.work)
    arguments = ("--ir-minimum", "--no-match-test", LEFT_OUT, "--report", "lcov", "--report-file", REPORT)
    run = copy.forge(QUICK, LIMIT_SECS, "coverage", *arguments)
    report = copy.hardhat / REPORT
    if run.returncode != 0 or not report.is_file():
        print((run.stdout + run.stderr)[-3000:])
        return 1
    files = [
        reach.without(assembly_lines((copy.hardhat / reach.file).read_text()))
        for reach in read(report.read_text())
        if reach.file.startswith("contracts/")
    ]
    report.unlink()
    for reach in files:
        print(f"{reach.file}: {_share(reach.lines_hit, reach.lines)} % of lines, ", end="")
        print(f"{_share(reach.branches_hit, reach.branches)} % of branches", end="")
        print(f"; missed lines {list(reach.missed_lines)}, branches {list(reach.missed_branches)}")
    lines = _share(sum(r.lines_hit for r in files), sum(r.lines for r in files))
    branches = _share(sum(r.branches_hit for r in files), sum(r.branches for r in files))
    print(json.dumps({"files": len(files), "line_percent": lines, "branch_percent": branches}))
    return 0 if lines >= GOAL_LINES and branches >= GOAL_BRANCHES else 1


def assembly_lines(source: str) -> frozenset[int]:
    """Numbers of the lines inside assembly, of which forge counts each as missed however often it runs."""
    found: set[int] = set()
    depth = 0
    for number, line in enumerate(source.splitlines(), 1):
        if depth == 0:
            depth = line.count("{") - line.count("}") if line.strip().startswith("assembly") else 0
            continue
        depth += line.count("{") - line.count("}")
        found.add(number)
    return frozenset(found)


def read(lcov: str) -> Iterator[Reach]:
    """Each file of an LCOV report."""
    for section in lcov.split("end_of_record"):
        records = [line.split(":", 1) for line in section.strip().splitlines() if ":" in line]
        if not records:
            continue
        lines = [record.split(",") for key, record in records if key == "DA"]
        branches = [record.split(",") for key, record in records if key == "BRDA"]
        missed_lines = tuple(int(line[0]) for line in lines if line[1] == "0")
        missed_branches = tuple(int(branch[0]) for branch in branches if branch[3] in ("0", "-"))
        yield Reach(
            file=next(record for key, record in records if key == "SF"),
            lines=len(lines),
            lines_hit=len(lines) - len(missed_lines),
            branches=len(branches),
            branches_hit=len(branches) - len(missed_branches),
            missed_lines=missed_lines,
            missed_branches=missed_branches,
        )


def _share(hit: int, of: int) -> float:
    return round(100 * hit / of, 1) if of else 100.0


if __name__ == "__main__":
    raise SystemExit(main())
