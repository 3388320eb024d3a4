"""What a key has set out to do on the chain, written down before it is done."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from chain.call import Call
from protocol.lifecycle import Event


class IntentState(StrEnum):
    """planned -> signed (bytes and nonce stored) -> sent -> mined -> confirmed; dropped ends it without effect.

    A mined transaction that reverted is CONFIRMED with `receipt.success` false.
    """

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    CONFIRMED = "confirmed"
    DROPPED = "dropped"


ENDED = (IntentState.CONFIRMED, IntentState.DROPPED)


@dataclass(frozen=True, slots=True)
class TxReceipt:
    """`events` are there when the sender was asked to wait; a journal does not keep them."""

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    success: bool
    gas_used: int
    gas_price_wei: int
    events: tuple[Event, ...] = ()

    @property
    def fee_wei(self) -> int:
        return self.gas_used * self.gas_price_wei


@dataclass(frozen=True, slots=True)
class Intent:
    """One call on its way. `hashes` holds every version ever signed for `nonce`, the newest last: any may be mined.

    `worth_wei` is what having it mined is worth: a replacement never bids more for its gas. 0 sets no such limit.
    """

    key: str
    call: Call
    state: IntentState = IntentState.PLANNED
    gas_limit: int = 0
    simulate: bool = True
    worth_wei: int = 0
    nonce: int = -1
    raw: bytes = b""
    hashes: tuple[bytes, ...] = ()
    max_fee_wei: int = 0
    priority_fee_wei: int = 0
    sent_at: float = 0.0
    receipt: TxReceipt | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def succeeded(self) -> bool:
        return self.state is IntentState.CONFIRMED and self.receipt is not None and self.receipt.success


class Journal(Protocol):
    """Where intents are kept. What is `put` must be durable when it returns, all of it or nothing; those `live` have
    not ended, oldest first.
    """

    def get(self, key: str) -> Intent | None: ...
    def put(self, *intents: Intent) -> None: ...
    def live(self) -> list[Intent]: ...


class MemoryJournal:
    """For a wallet that waits for its one transaction."""

    def __init__(self) -> None:
        self._intents: dict[str, Intent] = {}

    def get(self, key: str) -> Intent | None:
        return self._intents.get(key)

    def put(self, *intents: Intent) -> None:
        self._intents.update((intent.key, intent) for intent in intents)

    def live(self) -> list[Intent]:
        return [intent for intent in self._intents.values() if not intent.ended]


def intent_to_json(intent: Intent) -> str:
    """One line for a journal file or row."""
    call, receipt = intent.call, intent.receipt
    return json.dumps(
        {
            "key": intent.key,
            "call": [call.name, call.to, call.data.hex(), call.value_wei],
            "state": intent.state.value,
            "gas_limit": intent.gas_limit,
            "simulate": intent.simulate,
            "worth_wei": intent.worth_wei,
            "nonce": intent.nonce,
            "raw": intent.raw.hex(),
            "hashes": [item.hex() for item in intent.hashes],
            "max_fee_wei": intent.max_fee_wei,
            "priority_fee_wei": intent.priority_fee_wei,
            "sent_at": intent.sent_at,
            "receipt": receipt
            and [
                receipt.tx_hash.hex(),
                receipt.block_number,
                receipt.block_hash.hex(),
                receipt.success,
                receipt.gas_used,
                receipt.gas_price_wei,
            ],
            "reason": intent.reason,
        }
    )


def intent_from_json(document: str) -> Intent:
    """The inverse of `intent_to_json`."""
    fields = json.loads(document)
    name, to, data, value_wei = fields["call"]
    receipt = fields["receipt"]
    return Intent(
        key=fields["key"],
        call=Call(name, to, bytes.fromhex(data), value_wei),
        state=IntentState(fields["state"]),
        gas_limit=fields["gas_limit"],
        simulate=fields["simulate"],
        worth_wei=fields["worth_wei"],
        nonce=fields["nonce"],
        raw=bytes.fromhex(fields["raw"]),
        hashes=tuple(bytes.fromhex(item) for item in fields["hashes"]),
        max_fee_wei=fields["max_fee_wei"],
        priority_fee_wei=fields["priority_fee_wei"],
        sent_at=fields["sent_at"],
        receipt=receipt
        and TxReceipt(bytes.fromhex(receipt[0]), receipt[1], bytes.fromhex(receipt[2]), *receipt[3:]),
        reason=fields["reason"],
    )
