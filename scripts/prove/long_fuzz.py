"""A run of the market's fuzzer of any length, over all currencies in turn."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence

from tests.contracts.law.fuzz import CURRENCIES, Size, calls, fuzz, unseen

PART = Size(40, 100)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/prove/fuzz", description=__doc__)
    parser.add_argument(
        "--calls", type=int, default=100_000, help="calls of the market to make (default 100000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first part; each part takes the next")
    options = parser.parse_args(arguments)

    started = time.monotonic()
    total: Counter[str] = Counter()
    missing: dict[str, set[str]] = {}
    part = 0
    while calls(total) < options.calls:
        currency = CURRENCIES[part % len(CURRENCIES)]
        tally = fuzz(currency, PART, options.seed + part)
        total += tally
        lacking = unseen(tally, is_ether=currency == "ether")
        missing[currency] = missing.get(currency, lacking) & lacking
        part += 1
        print(f"{calls(total)} calls, {part} parts, {time.monotonic() - started:.0f} s", flush=True)
    summary = {
        "calls": calls(total),
        "refused": sum(count for name, count in total.items() if name.endswith(" refused")),
        "markets": part * PART.runs,
        "seed": options.seed,
        "secs": round(time.monotonic() - started),
        "tasks": total["TaskSubmitted"],
        "settled": total["TaskSettled"],
        "refunded": total["TaskRefunded"],
        "rounds_won": total["RoundWon"],
        "leaves_answered": total["LeafAnswered"],
        "rulings": total["TaskRuled"],
        "sent_again": total["sent again in another order"],
        "calls_back": total["call back done"] + total["call back refused"],
        "never_seen": {currency: sorted(names) for currency, names in missing.items() if names},
    }
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
