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
    "WrongCurrency": "use the calls for the market's own currency",
    "TokenMisbehaved": "the token took a fee or moved nothing; use another market",
    "BadSignature": "have the requester sign this very request",
    "LengthMismatch": "give one signature for each request",
    "BadReplicas": "ask for 1, 3, 5 or 7 replicas",
    "NoEquivalence": "name an equivalence class, or ask for one replica",
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
    "DeadlinePassed": "it is too late; somebody may expire the task",
    "NotReplicated": "this call is for tasks of several replicas",
    "WrongSeat": "look at the round; the seat was lost or has moved on",
    "AlreadyCommitted": "somebody has committed; what follows is the reveal",
    "QuorumCommitted": "open the reveal and close the round instead",
    "RevealNotDue": "wait for the other commitments, or for the deadline",
    "RevealNotOpen": "wait until the reveal is open",
    "RevealRunning": "wait until all have revealed, or until the time is over",
    "RevealEnded": "it is too late to reveal",
    "CommitmentMismatch": "reveal exactly what was committed",
    "TooManyTokens": "the request allows fewer output tokens",
    "WindowEnded": "the challenge window is over",
    "NoSuchLeaf": "name a leaf of the output, counted from 0",
    "AlreadyDemanded": "one demand for a leaf is enough",
    "NoDemand": "the leaf was never demanded, or the demand has ended",
    "AnswerTimeRunning": "wait until the answer's time is over",
    "AnswerTimeOver": "it is too late to answer",
    "BodyNotPosted": "show the body that was posted, with its path to the batch root",
    "WrongLeafLength": "show all tokens of the leaf",
    "LeafNotInOutput": "show the tokens that the output root was made of",
    "DemandsOpen": "wait until every demand is answered or has lapsed",
    "NotArbiter": "only the market's arbiter rules",
    "RulingTooLate": "the time for a ruling is over; `timeout` settles the task",
    "RulingTimeRunning": "wait for the arbiter",
    "NoInversion": "nothing was passed over",
    "NotMember": "use the key of a member of the panel",
    "NotOurMarket": "ask the arbiter that the market names",
    "NotDisputed": "only a task in dispute is heard",
    "AlreadyOpen": "the hearing is open already",
    "NotOpen": "open the hearing first",
    "TooLateToOpen": "the hearing could not end in time; the market's timeout decides",
    "CommitEnded": "it is too late to commit a vote",
    "RevealNotBegun": "wait until the time to commit is over",
    "VoteNotCommitted": "commit a vote first, and reveal it once",
    "AlreadyRuled": "the panel has ruled",
    "NoMajority": "wait for more votes",
    "NothingToCollect": "there is nothing to collect",
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
