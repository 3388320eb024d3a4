"""Amounts as people write and read them; inside, money is whole UNITs (one gwei)."""

import re
from decimal import Decimal

from protocol.domain import ETHER_UNITS
from protocol.errors import BadInput

_AMOUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*(gwei|ether|eth)?")
_MAX_CHARS = 40


class BadAmount(BadInput):
    """Not an amount, or not a whole number of gwei."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(
            "MONEY-001",
            field,
            value,
            "give whole gwei, such as 5000 or 5000gwei, or ether, such as 0.01ether",
        )


def parse_units(field: str, text: str) -> int:
    """UNITs of "5000", "5000gwei" or "0.01ether"; a bare number is gwei. Raises BadAmount."""
    match = _AMOUNT.fullmatch(text.strip().lower()) if len(text) <= _MAX_CHARS else None
    if match is None:
        raise BadAmount(field, text)
    number = Decimal(match[1].replace("_", ""))
    units = number * (ETHER_UNITS if match[2] in ("ether", "eth") else 1)
    if units != int(units):
        raise BadAmount(field, text)
    return int(units)


def show_units(units: int) -> str:
    """ "1,234,500 gwei (0.0012345 ether)"; the ether is left out where it says nothing."""
    if units == 0:
        return "0 gwei"
    whole, part = divmod(units, ETHER_UNITS)
    ether = f"{whole}.{part:09d}".rstrip("0").rstrip(".")
    return f"{units:,} gwei ({ether} ether)"
