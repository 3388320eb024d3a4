"""Gas of every call that writes, as whole transactions on a devnet of its own, beside what the natspec says of it."""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chain import devnet
from chain.node import PROJECT_ROOT
from protocol.errors import QuernError
from scripts.prove.every_call import measure

INTERFACES = PROJECT_ROOT / "contracts" / "interfaces"
# A figure, what it is the gas of, and the call.
FIGURE = re.compile(r"(/// @custom:gas )([\d,]+)([^\n]*\n(?:\s*///[^\n]*\n)*\s*function (\w+)\()")
# A byte of calldata more or less is no news.
SAVED_IF_OFF_BY = 0.002


def stated() -> dict[str, int]:
    """What the interfaces say, by call as `measure` names them."""
    found = {}
    for path in sorted(INTERFACES.glob("I*.sol")):
        for _, figure, _, name in FIGURE.findall(path.read_text()):
            found[_key(path, name)] = int(figure.replace(",", ""))
    return found


def save(figures: dict[str, int]) -> None:
    """Writes the figures that have moved into the interfaces."""
    known = stated()
    for path in INTERFACES.glob("I*.sol"):
        text = path.read_text()
        for match in FIGURE.finditer(text):
            key = _key(path, match[4])
            if abs(figures[key] - known[key]) > SAVED_IF_OFF_BY * figures[key]:
                text = text.replace(match[0], f"{match[1]}{figures[key]:,}{match[3]}")
        path.write_text(text)


def run() -> dict[str, int]:
    """`measure` on a devnet that lives as long as it. Raises what devnet.up raises."""
    with tempfile.TemporaryDirectory(prefix="quern-gas-") as folder:
        home = Path(folder)
        try:
            return measure(devnet.up(home, block_millis=None, die_with_parent=True).deployment)
        finally:
            devnet.down(home)


def _key(path: Path, name: str) -> str:
    contract = path.stem.removeprefix("I")
    return name if contract == "InferenceMarket" else f"{contract}.{name}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/prove/gas", description=__doc__)
    parser.add_argument("--save", action="store_true", help="renew the figures in contracts/interfaces")
    options = parser.parse_args(arguments)
    try:
        figures = run()
    except QuernError as error:
        print(f"gas: {error}", file=sys.stderr)
        return error.exit_status
    if options.save:
        save(figures)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
