"""The whole market against the model of its law, driven at random by actors of whom some are hostile."""

import pytest

from tests.contracts.law.evm import market_abi
from tests.contracts.law.fuzz import CALLS, CURRENCIES, Size, calls, fuzz, unseen

QUICK = {"ether": Size(20, 40), "18": Size(10, 40), "6": Size(8, 40)}
DEEP = Size(250, 100)
# A run of this length may miss these; the Solidity tests have them.
RARE = {"skip DeadlinePassed", "skip DemandsOpen", "skip NotWorker", "ChallengeLost"}


@pytest.mark.slow
@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_short_run_keeps_the_law(currency: str) -> None:
    tally = fuzz(currency, QUICK[currency], 1)
    assert calls(tally) > 20 * QUICK[currency].runs
    for event in ("TaskSubmitted", "TaskClaimed", "TaskRefunded", "Withdrawn"):
        assert tally[event] > 0, event


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_long_run_keeps_the_law_and_makes_every_move(currency: str) -> None:
    tally = fuzz(currency, DEEP, 2)
    assert unseen(tally, is_ether=currency == "ether") <= RARE


def test_every_call_that_writes_has_its_rule() -> None:
    assert market_abi().writing == CALLS


def test_a_model_that_is_wrong_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.contracts.law.book import Task

    honest = Task.charge
    monkeypatch.setattr(Task, "charge", lambda self, tokens: honest(self, tokens) + 1)
    with pytest.raises(AssertionError, match=r"account|I1"):
        fuzz("ether", Size(40, 40), 3, is_shrunk=False)
