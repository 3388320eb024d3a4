"""The money of one market: ether, or one ERC-20. Inside, amounts are whole UNITs; people see coins."""

import re
from dataclasses import dataclass
from fractions import Fraction

from protocol.errors import BadInput

_UNIT_DECIMALS = 9
_MAX_DECIMALS = 36  # the market's own limit
_AMOUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([^\s\d._]\S*)?")
_MAX_CHARS = 48
_MAX_SYMBOL_CHARS = 16


class BadAmount(BadInput):
    """Not an amount, or not a whole number of UNITs."""

    def __init__(self, field: str, value: str, currency: "Currency") -> None:
        super().__init__("MONEY-001", field, value, currency.advice)


class BadCurrency(BadInput):
    """A token whose symbol or decimals no market can show."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("MONEY-002", f"token {field}", value, fix)


@dataclass(frozen=True, slots=True)
class Currency:
    """`decimals` as the token counts them; a UNIT is a billionth of a coin, or the token's smallest part where
    that is larger. A symbol is a stranger's text: what a terminal would not print as it is becomes "?", and a token
    that calls itself ether is a token all the same.

    Raises BadCurrency.
    """

    symbol: str
    decimals: int
    is_token: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= _MAX_DECIMALS:
            raise BadCurrency("decimals", self.decimals, f"use a token of 0 to {_MAX_DECIMALS} decimals")
        shown = "".join(mark if mark.isprintable() and not mark.isspace() else "?" for mark in self.symbol)
        object.__setattr__(self, "symbol", shown[:_MAX_SYMBOL_CHARS] or "token")

    @property
    def is_ether(self) -> bool:
        return not self.is_token

    @property
    def unit(self) -> int:
        """Smallest parts (wei) in one UNIT, as the market's `UNIT()`."""
        return int(10 ** max(0, self.decimals - _UNIT_DECIMALS))

    @property
    def units_per_coin(self) -> int:
        return int(10**self._digits)

    @property
    def advice(self) -> str:
        """What an amount looks like, for messages."""
        if self.is_ether:
            return "give whole gwei, such as 5000 or 5000gwei, or ether, such as 0.01ether"
        return f"give an amount such as 2.5 or 2.5{self.symbol}, with at most {self._digits} decimals"

    def show(self, units: int) -> str:
        """ "1,234,500 gwei (0.0012345 ether)", or "2.5 USDC" for a token."""
        coins = self.coins(units)
        if not self.is_ether:
            return f"{coins} {self.symbol}"
        return f"{units:,} gwei ({coins} ether)" if units else "0 gwei"

    def coins(self, units: int) -> str:
        """The plain decimal number of coins, without trailing zeros."""
        whole, part = divmod(units, self.units_per_coin)
        if not part:
            return f"{whole:,}" if not self.is_ether else str(whole)
        digits = f"{part:0{self._digits}d}".rstrip("0")
        return f"{whole:,}.{digits}" if not self.is_ether else f"{whole}.{digits}"

    def parse(self, field: str, text: str) -> int:
        """UNITs of "5000", "5000gwei" or "0.01ether"; of "2.5" or "2.5USDC" for a token. Raises BadAmount."""
        match = _AMOUNT.fullmatch(text.strip()) if len(text) <= _MAX_CHARS else None
        if match is None:
            raise BadAmount(field, text, self)
        scale = self._scale(match[2] or "")
        units = Fraction(match[1].replace("_", "")) * scale
        if scale == 0 or units.denominator != 1:
            raise BadAmount(field, text, self)
        return int(units)

    def _scale(self, name: str) -> int:
        """UNITs in what `name` names; a bare number is gwei in an ether market, coins in a token's; 0: unknown."""
        if not self.is_ether:
            return self.units_per_coin if name.lower() in ("", self.symbol.lower()) else 0
        return {"": 1, "gwei": 1, "ether": self.units_per_coin, "eth": self.units_per_coin}.get(
            name.lower(), 0
        )

    @property
    def _digits(self) -> int:
        return min(self.decimals, _UNIT_DECIMALS)


ETHER = Currency("ether", 18, is_token=False)
