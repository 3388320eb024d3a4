"""What block producers and forks do: the calls since a block come again in another order, some of them never."""

import random

from hypothesis.stateful import rule

from tests.contracts.law.machine import SEED, MarketMachine
from tests.contracts.law.world import Sent

# Their law follows from the arguments and the state alone. The others show results and evidence that the machine
# keeps apart, or meet a hostile contract as it was at the time.
ANEW = frozenset(
    {
        "submit",
        "submitMany",
        "submitBySig",
        "submitManyBySig",
        "revoke",
        "raiseTip",
        "cancel",
        "claimMany",
        "release",
        "openReveal",
        "reveal",
        "closeRound",
        "demand",
        "lapseDemand",
        "closeDemand",
        "challenge",
        "rule",
        "timeout",
        "settleMany",
        "expire",
    }
)
ON_MANY = frozenset({"submitMany", "submitManyBySig", "claimMany", "settleMany"})
LOST_OF_EIGHT = 1


class ReorganisationRules(MarketMachine):
    """Another history of the same calls keeps the law as well."""

    @rule(seed=SEED)
    def chain_is_reorganised(self, seed: int) -> None:
        """Back to the block that was marked last time, or since when nothing hostile was told anything."""
        mark = self.world.mark
        if mark is not None:
            self.go_back(mark)
            self._send_again(mark.sent, random.Random(seed))
        self.mark_block()

    @rule()
    def block_is_marked(self) -> None:
        if self.world.mark is None:
            self.mark_block()

    def _send_again(self, sent: list[Sent], dice: random.Random) -> None:
        again = [one for one in sent if one.name in ANEW and dice.randrange(8) >= LOST_OF_EIGHT]
        dice.shuffle(again)
        for one in again:
            self.world.machine.travel(dice.choice((0, 0, 1, 5)))
            outcome, expected = self.world.do(one.name, one.caller, one.arguments, one.law, one.value)
            if one.name in ON_MANY:
                self.compare_skips(outcome, expected)  # type: ignore[arg-type]
        self.world.touch(*self.requests)
        self.tally["sent again in another order"] += len(again)
