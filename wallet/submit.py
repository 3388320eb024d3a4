"""From a question to a task on chain: priced, drafted, shown, stored, journalled, sent; in this order.

Everything that can be wrong is found before the store or the chain is touched.
"""

import secrets
from dataclasses import dataclass

from chain.market import Market
from chain.sender import Sender, TxReceipt
from chain.store import ContentStore, input_key, params_key
from protocol.batchfile import write_input
from protocol.digest import sha256
from protocol.domain import UNIT_WEI, Domain
from protocol.errors import BadInput
from protocol.lifecycle import TaskState
from protocol.money import escrow_units
from protocol.request import Request, task_id
from wallet.inputs import Question
from wallet.journal import Journal, JournalEntry
from wallet.quote import Quote

SUBMIT_GAS = 400_000


class NotEnoughMoney(BadInput):
    """Free balance in the market and the wallet's ether do not cover the maximum price and the gas."""

    def __init__(self, address: str, has_units: int, needs_units: int) -> None:
        super().__init__(
            "ASK-007",
            "wallet",
            address,
            f"it can spend {has_units} gwei, this takes up to {needs_units} with gas; fund it, or offer less",
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What the requester puts up: amounts in UNITs, times in seconds from now."""

    fee_units: int
    flat_percent: int
    tip_units: int
    lease_secs: int
    life_secs: int
    bond_units: int = 1

    @staticmethod
    def of(quote: Quote) -> "Offer":
        return Offer(quote.fee_units, quote.flat_percent, quote.tip_units, quote.lease_secs, quote.life_secs)

    @property
    def max_price_units(self) -> int:
        return escrow_units(self.fee_units, 1, self.tip_units)


@dataclass(frozen=True, slots=True)
class Draft:
    """A request with the bytes it names; nothing of it has left this machine."""

    domain: Domain
    request: Request
    question: Question
    input_data: bytes
    made_at: int

    @property
    def task_id(self) -> bytes:
        return task_id(self.domain, self.request)


def draft(
    domain: Domain, requester: str, model_id: bytes, question: Question, offer: Offer, now: int
) -> Draft:
    """The request, under fresh salts. Raises MalformedInput, RequestOutOfRange."""
    input_data = write_input(secrets.token_bytes(32), question.prompts)
    digest = sha256(input_data)
    request = Request(
        requester=requester,
        salt=secrets.token_bytes(32),
        model_id=model_id,
        input_digest=digest,
        params_digest=question.params.digest(),
        max_fee_units=offer.fee_units,
        flat_percent=offer.flat_percent,
        tip_units=offer.tip_units,
        max_output_tokens=question.max_output_tokens,
        bond_units=offer.bond_units,
        deadline=now + offer.life_secs,
        lease_secs=offer.lease_secs,
        input_uri=input_key(digest),
    )
    return Draft(domain, request, question, input_data, now)


def value_to_attach(
    requester: str, max_price_units: int, free_units: int, balance_wei: int, gas_price_wei: int
) -> int:
    """UNITs to send along: what the free balance lacks. Raises NotEnoughMoney."""
    lacking = max(0, max_price_units - free_units)
    gas_units = -(-SUBMIT_GAS * gas_price_wei // UNIT_WEI)
    spendable = balance_wei // UNIT_WEI
    if spendable < lacking + gas_units:
        raise NotEnoughMoney(requester, free_units + spendable, max_price_units + gas_units)
    return lacking


def send(
    ready: Draft,
    value_units: int,
    wallet: str,
    market: Market,
    sender: Sender,
    store: ContentStore,
    journal: Journal,
) -> TxReceipt:
    """Simulate, store the input, journal, send and wait until mined.

    Raises MarketRevert before anything is stored, StoreUnavailable before anything is sent. A journalled
    task can be sent again by `resend` and is never paid twice.
    """
    call = market.submit(ready.request, value_units)
    market.simulate(call, ready.request.requester)
    params = ready.question.params
    store.put(params_key(params.digest()), params.encoded())
    store.put(ready.request.input_uri, ready.input_data)
    journal.record(
        JournalEntry(
            ready.domain,
            ready.request,
            wallet,
            store.url,
            len(ready.question.prompts),
            ready.made_at,
        )
    )
    return sender.send_and_wait(call)


def resend(entry: JournalEntry, value_units: int, market: Market, sender: Sender) -> TxReceipt | None:
    """Send a journalled request unless the chain has it; None if it has. Harmless at any time."""
    if market.task(entry.task_id).state is not TaskState.NONE:
        return None
    return sender.send_and_wait(market.submit(entry.request, value_units))
