"""Amounts are whole gwei, read as people write them."""

import pytest

from wallet.amounts import BadAmount, parse_units, show_units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("5000", 5000),
        ("5000gwei", 5000),
        ("0.01ether", 10_000_000),
        ("1 eth", 10**9),
        ("1_000", 1000),
        ("0", 0),
    ],
)
def test_an_amount_is_read(text, units):
    assert parse_units("tip", text) == units


@pytest.mark.parametrize("text", ["", "-1", "1.5", "0.0000000001ether", "1 wei", "1e9", "nan", "9" * 50])
def test_what_is_no_whole_gwei_is_refused(text):
    with pytest.raises(BadAmount, match="tip"):
        parse_units("tip", text)


def test_an_amount_is_shown_in_both_units():
    assert show_units(1_234_500) == "1,234,500 gwei (0.0012345 ether)"
    assert show_units(0) == "0 gwei"
    assert parse_units("x", show_units(10**10).split("(")[1].rstrip(")")) == 10**10
