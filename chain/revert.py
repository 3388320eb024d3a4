"""Why the market refused: custom errors by name, with their values and what to do about them."""

from collections.abc import Mapping
from typing import TypeAlias

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from protocol.errors import QuernError, shown

# Error selector -> (name, ((argument, Solidity type), ...)).
ErrorTable: TypeAlias = Mapping[bytes, tuple[str, tuple[tuple[str, str], ...]]]

_STANDARD: ErrorTable = {
    bytes.fromhex("08c379a0"): ("Error", (("message", "string"),)),
    bytes.fromhex("4e487b71"): ("Panic", (("code", "uint256"),)),
}
_FIXES = {
    "WrongState": "look at the task's state; another call may have come first",
    "InsufficientFree": "deposit more, or ask for less",
    "NotWholeUnits": "give whole multiples of 1 gwei",
    "ZeroAddress": "name a receiver",
    "WithdrawalFailed": "withdraw to an address that accepts ether",
    "NotRequester": "use the key that submitted the task",
    "ReplicasNotYet": "ask for one replica",
    "NoOutputTokens": "allow at least one output token",
    "FlatPercentTooHigh": "give a flat share of 0 to 100",
    "NoBond": "ask for at least one bond unit",
    "LeaseTooShort": "give a longer lease",
    "DeadlineTooSoon": "give a later deadline or a shorter lease",
    "DeadlineTooFar": "give an earlier deadline",
    "TipNotRaised": "give a higher tip",
    "NotWorker": "use the key that holds the lease",
    "LeaseRunning": "wait until the lease ends",
    "LeaseEnded": "post the result, or let the lapse be",
    "DeadlineNotPassed": "wait for the deadline",
}


class MarketRevert(QuernError):
    """A call the contract refuses. `name` is the custom error's, `values` its arguments."""

    def __init__(self, call: str, name: str, values: Mapping[str, object]) -> None:
        self.name = name
        self.values = dict(values)
        said = ", ".join(f"{key} {shown(value)}" for key, value in values.items())
        self.said = f"{name}({said})"
        super().__init__("MARKET-001", call, self.said, _FIXES.get(name, "change what the error names"))

    def __str__(self) -> str:
        return f"{self.code} {self.field} refused: {self.said}: {self.fix}"


def decode_revert(call: str, data: bytes, errors: ErrorTable) -> MarketRevert:
    """The named error in a revert's return data; unknown data keeps its bytes."""
    name, members = errors.get(data[:4]) or _STANDARD.get(data[:4]) or ("Unknown", ())
    if not members:
        return MarketRevert(call, name, {} if name != "Unknown" else {"data": data})
    try:
        values = decode([kind for _, kind in members], data[4:])
    except (DecodingError, OverflowError, ValueError):
        return MarketRevert(call, "Unknown", {"data": data})
    return MarketRevert(
        call, name, {member: value for (member, _), value in zip(members, values, strict=True)}
    )
