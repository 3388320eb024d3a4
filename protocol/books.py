"""Everybody's money in one market, moved by its events; refuses what the contract could not have moved."""

from dataclasses import dataclass

from protocol.errors import QuernError


class ImpossibleHistory(QuernError):
    """Events that no run of the contract emits: a gap in what was fetched, or a node that lies."""

    exit_status = 1

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(
            "HISTORY-001", field, value, f"{reason}; fetch the events again from the market's first block"
        )


def require(holds: bool, field: str, value: object, reason: str) -> None:  # noqa: FBT001
    """Raises ImpossibleHistory unless `holds`."""
    if not holds:
        raise ImpossibleHistory(field, value, reason)


@dataclass(frozen=True, slots=True)
class AccountView:
    """UNITs. `locked` is the sum of the account's live bonds."""

    free_units: int = 0
    locked_units: int = 0


class Books:
    """Balances in UNITs. Every move raises ImpossibleHistory where a balance does not cover it."""

    def __init__(self) -> None:
        self._free: dict[str, int] = {}
        self._locked: dict[str, int] = {}
        self.deposited_units = self.withdrawn_units = self.burned_units = 0

    @property
    def free_units(self) -> int:
        return sum(self._free.values())

    @property
    def locked_units(self) -> int:
        return sum(self._locked.values())

    def accounts(self) -> dict[str, AccountView]:
        return {
            holder: AccountView(self._free.get(holder, 0), self._locked.get(holder, 0))
            for holder in self._free.keys() | self._locked.keys()
        }

    def deposit(self, holder: str, units: int) -> None:
        self.deposited_units += units
        self.credit(holder, units)

    def withdraw(self, holder: str, units: int) -> None:
        self.withdrawn_units += units
        self.debit(holder, units)

    def credit(self, holder: str, units: int) -> None:
        self._free[holder] = self._free.get(holder, 0) + units

    def debit(self, holder: str, units: int) -> None:
        there = self._free.get(holder, 0)
        require(0 <= units <= there, "balance", holder, f"{units} taken, {there} there")
        self._free[holder] = there - units

    def lock(self, holder: str, units: int) -> None:
        """A bond."""
        self.debit(holder, units)
        self._locked[holder] = self._locked.get(holder, 0) + units

    def unlock(self, holder: str, units: int, burned_units: int = 0) -> None:
        """A bond back to its holder, less what burns."""
        self.forfeit(holder, units)
        self.credit(holder, units - burned_units)
        self.burn(burned_units)

    def forfeit(self, holder: str, units: int) -> None:
        """A bond taken from its holder; the caller says where it goes."""
        there = self._locked.get(holder, 0)
        require(0 <= units <= there, "bond", holder, f"{units} unlocked, {there} locked")
        self._locked[holder] = there - units

    def burn(self, units: int) -> None:
        self.burned_units += units
