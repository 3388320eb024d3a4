"""Amounts of ether and of tokens: what people write and read, in whole UNITs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.currency import ETHER, BadAmount, BadCurrency, Currency

USDC, WETH, YEN = Currency("USDC", 6), Currency("WETH", 18), Currency("YEN", 0)


def test_a_unit_is_a_billionth_of_a_coin_or_the_tokens_smallest_part():
    assert [(money.unit, money.units_per_coin) for money in (ETHER, WETH, USDC, YEN)] == [
        (10**9, 10**9),
        (10**9, 10**9),
        (1, 10**6),
        (1, 1),
    ]


def test_amounts_are_shown_with_the_currency_they_are_of():
    assert ETHER.show(1_234_500) == "1,234,500 gwei (0.0012345 ether)"
    assert ETHER.show(0) == "0 gwei"
    assert USDC.show(2_500_000) == "2.5 USDC"
    assert USDC.show(1_234_000_001) == "1,234.000001 USDC"
    assert WETH.show(0) == "0 WETH"
    assert YEN.show(12_000) == "12,000 YEN"


@pytest.mark.parametrize(
    ("currency", "text", "units"),
    [
        (ETHER, "5000", 5_000),
        (ETHER, "0.01ether", 10_000_000),
        (ETHER, "3 gwei", 3),
        (USDC, "2.5", 2_500_000),
        (USDC, "2.5USDC", 2_500_000),
        (USDC, "1_000 usdc", 10**9),
        (WETH, "0.000000001", 1),
        (YEN, "7", 7),
    ],
)
def test_amounts_are_read(currency, text, units):
    assert currency.parse("tip", text) == units


@pytest.mark.parametrize(
    ("currency", "text"),
    [
        (ETHER, "1.5gwei"),
        (ETHER, "5 USDC"),
        (USDC, "0.0000001"),
        (USDC, "5gwei"),
        (USDC, "-1"),
        (USDC, "1e6"),
        (USDC, "9" * 99),
        (YEN, "0.5"),
        (YEN, ""),
    ],
)
def test_what_is_no_whole_amount_is_refused_with_an_example(currency, text):
    with pytest.raises(BadAmount, match="such as"):
        currency.parse("tip", text)


@given(st.sampled_from([ETHER, USDC, WETH, YEN]), st.integers(0, 2**96 - 1))
def test_what_is_shown_reads_back(currency, units):
    text = currency.coins(units).replace(",", "_") + currency.symbol
    assert currency.parse("x", text) == units


def test_a_token_that_calls_itself_ether_is_shown_as_a_token():
    assert Currency("ether", 18).show(10**9) == "1 ether"
    assert not Currency("ether", 18).is_ether
    assert ETHER.is_ether


def test_a_strangers_symbol_reaches_no_terminal_and_absurd_decimals_no_market():
    assert Currency("\x1b[2J\nUSD", 6).symbol == "?[2J?USD"
    assert Currency("", 6).symbol == "token"
    assert len(Currency("x" * 999, 6).symbol) == 16
    with pytest.raises(BadCurrency):
        Currency("BIG", 37)
