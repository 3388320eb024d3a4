"""One run of the fuzzer: how much, from which seed, and what it did."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contracts.law.evm import market_abi
from tests.contracts.law.machine import SKIP_REASONS
from tests.contracts.law.rules_asking import AskingRules
from tests.contracts.law.rules_disputes import DisputeRules
from tests.contracts.law.rules_reorganisation import ReorganisationRules
from tests.contracts.law.rules_working import WorkingRules

# Ether, and tokens of 18 and 6 decimals.
CURRENCIES = ("ether", "18", "6")
CALLS = frozenset(
    {
        "deposit",
        "depositToken",
        "depositWithPermit",
        "withdraw",
        "submit",
        "submitMany",
        "submitBySig",
        "submitManyBySig",
        "revoke",
        "raiseTip",
        "cancel",
        "cancelBySig",
        "claimMany",
        "release",
        "postBatch",
        "commit",
        "openReveal",
        "reveal",
        "closeRound",
        "demand",
        "answer",
        "lapseDemand",
        "closeDemand",
        "challenge",
        "rule",
        "timeout",
        "settleMany",
        "expire",
    }
)


class WholeMarket(AskingRules, WorkingRules, DisputeRules, ReorganisationRules):
    """Every rule together."""


@dataclass(frozen=True, slots=True)
class Size:
    """`runs` markets with `steps` rules each."""

    runs: int
    steps: int


def fuzz(currency: str, size: Size, number: int, *, is_shrunk: bool = True) -> Counter[str]:
    """Counts of calls by name and outcome, and of events. Raises what a failing run raised, the shortest found."""
    tally: Counter[str] = Counter()
    machine = type("WholeMarket", (WholeMarket,), {"currency": currency, "tally": tally})
    chosen = settings(
        max_examples=size.runs,
        stateful_step_count=size.steps,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if is_shrunk else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(seed(number)(machine), settings=chosen)
    return tally


def calls(tally: Counter[str]) -> int:
    """Calls of the market by its actors."""
    return sum(count for name, count in tally.items() if name.endswith((" done", " refused")))


def unseen(tally: Counter[str], *, is_ether: bool) -> set[str]:
    """What a long run must have done and has not: each call once, each event, most refusals of calls on many."""
    abi = market_abi()
    foreign = {"depositToken", "depositWithPermit"} if is_ether else {"deposit"}
    wanted = {f"{name} done" for name in CALLS - foreign} | {name for name, _ in abi.events.values()}
    wanted |= {f"skip {reason}" for reason in SKIP_REASONS[1:]} | {"sent again in another order"}
    return {name for name in wanted if tally[name] == 0} - {"EIP712DomainChanged"}
