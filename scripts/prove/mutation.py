"""How many small breaks of the contracts the Solidity tests notice, each tried in a copy of the checkout."""

import argparse
import json
import subprocess
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chain.node import HARDHAT_DIR
from scripts.prove.copy import WEIGHTS, Copy
from scripts.prove.mutate import Mutant, choose, mutants_of

EQUIVALENTS = Path(__file__).with_name("equivalents.toml")
DEFAULT_WORK = HARDHAT_DIR / "cache" / "mutants"
RESULTS = "results.jsonl"
INVARIANTS = "test/invariant/*"
# A broken loop ends at forge's gas limit; this is for a broken compiler.
LIMIT_SECS = 900
# The fuzzers' short runs: a mutant that only a long run would find counts as a survivor.
QUICK = {
    "FOUNDRY_FUZZ_RUNS": "64",
    "FOUNDRY_FUZZ_SEED": "0x51",
    "FOUNDRY_INVARIANT_RUNS": "6",
    "FOUNDRY_INVARIANT_DEPTH": "60",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mutant: killed (and by which test), survived, or invalid (does not compile)."""

    key: str
    name: str
    context: str
    change: str
    fate: str
    by: str


def fate_of(copy: Copy) -> tuple[str, str]:
    """(fate, the test that noticed) of what the copy holds now."""
    if (built := copy.forge(QUICK, LIMIT_SECS, "build")).returncode != 0:
        return "invalid", (built.stdout + built.stderr).strip()[:200]
    for paths in (["--no-match-path", INVARIANTS], ["--match-path", INVARIANTS]):
        try:
            tested = copy.forge(QUICK, LIMIT_SECS, "test", "--fail-fast", "--no-match-test", WEIGHTS, *paths)
        except subprocess.TimeoutExpired:
            return "killed", "time limit"
        if tested.returncode != 0:
            failed = [line for line in tested.stdout.splitlines() if line.lstrip().startswith("[FAIL")]
            return "killed", failed[0].strip() if failed else tested.stderr.strip()[:200]
    return "survived", ""


def sources(root: Path) -> dict[str, str]:
    """Every contract that holds rules, by its path under the folder `root`; interfaces hold none."""
    files = [file for file in sorted(root.rglob("*.sol")) if "interfaces" not in file.parts]
    return {file.relative_to(root).as_posix(): file.read_text() for file in files}


def equivalents() -> dict[tuple[str, str], str]:
    """(line as written, change) -> why no test could notice it."""
    listed = tomllib.loads(EQUIVALENTS.read_text()).get("mutant", [])
    return {(item["context"], item["change"]): item["why"] for item in listed}


def describe(mutant: Mutant) -> str:
    original, replacement = (" ".join(text.split()) for text in (mutant.original, mutant.replacement))
    return f"{original} -> {replacement or 'nothing'}"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    copy = Copy(options.work / "checkout")
    texts = sources(copy.contracts)
    every = [mutant for file, text in texts.items() for mutant in mutants_of(file, text)]
    chosen = [
        mutant
        for mutant in choose(every, options.count or len(every), options.seed)
        if options.file is None or mutant.file.endswith(options.file)
    ]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name}: {describe(mutant)}")
        return 0
    outcomes = _run(copy, chosen, texts, options.work / RESULTS)
    return _report(outcomes, len(every), options.seed)


def _run(copy: Copy, chosen: Sequence[Mutant], texts: dict[str, str], record: Path) -> list[Outcome]:
    fate, by = fate_of(copy)
    if fate != "survived":
        raise SystemExit(f"the tests fail before anything is broken: {by}")
    known = _known(record)
    outcomes = []
    for number, mutant in enumerate(chosen, 1):
        source = texts[mutant.file]
        key = mutant.key(source)
        if key not in known:
            started = time.monotonic()
            (copy.contracts / mutant.file).write_text(mutant.apply(source))
            fate, by = fate_of(copy)
            (copy.contracts / mutant.file).write_text(source)
            known[key] = Outcome(key, mutant.name, mutant.context, describe(mutant), fate, by)
            with record.open("a") as file:
                file.write(json.dumps(asdict(known[key])) + "\n")
            secs = time.monotonic() - started
            print(
                f"{number}/{len(chosen)} {fate:8} {secs:4.0f} s  {mutant.name}: {describe(mutant)}",
                flush=True,
            )
        outcomes.append(known[key])
    return outcomes


def _known(record: Path) -> dict[str, Outcome]:
    """What an earlier run has settled. Survivors are tried again: the tests may have grown since."""
    lines = record.read_text().splitlines() if record.exists() else []
    outcomes = [Outcome(**json.loads(line)) for line in lines]
    return {outcome.key: outcome for outcome in outcomes if outcome.fate != "survived"}


def _report(outcomes: Sequence[Outcome], possible: int, seed: int) -> int:
    why = equivalents()
    survivors = [outcome for outcome in outcomes if outcome.fate == "survived"]
    unexplained = [outcome for outcome in survivors if (outcome.context, outcome.change) not in why]
    for outcome in survivors:
        reason = why.get((outcome.context, outcome.change), "NOT EXPLAINED")
        print(f"survived {outcome.name}: {outcome.change}\n    {outcome.context}\n    {reason}")
    fates = Counter(outcome.fate for outcome in outcomes)
    valid = fates["killed"] + fates["survived"]
    summary = {
        "possible": possible,
        "seed": seed,
        "tried": len(outcomes),
        "invalid": fates["invalid"],
        "killed": fates["killed"],
        "survived": fates["survived"],
        "explained": len(survivors) - len(unexplained),
        "killed_percent": round(100 * fates["killed"] / max(valid, 1), 1),
    }
    print(json.dumps(summary))
    return 1 if unexplained else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/prove/mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how many to try; 0: every one (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default 1)")
    parser.add_argument("--file", help="only those of the contract whose path ends like this")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="folder of the copy and its results")
    parser.add_argument("--list", action="store_true", help="print them and stop")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
