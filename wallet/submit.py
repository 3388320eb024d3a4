"""From a question to a task on chain: priced, drafted, shown, stored, journalled, sent; in this order.

Everything that can be wrong is found before the store or the chain is touched.
"""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.store import ContentStore, input_key, params_key
from protocol.batchfile import write_input
from protocol.digest import sha256
from protocol.domain import UNIT_WEI, Domain
from protocol.errors import BadInput
from protocol.lifecycle import TaskState
from protocol.money import escrow_units
from protocol.replay import MarketView
from protocol.request import Request, task_id
from wallet.desk import Desk
from wallet.inputs import Question
from wallet.journal import Journal, JournalEntry
from wallet.quote import Quote, Terms, Want, check_price, quote

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.journal import TxReceipt

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

    @property
    def max_price_units(self) -> int:
        return escrow_units(self.fee_units, 1, self.tip_units)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the requester set by hand; None leaves it to the quote."""

    fee_units: int | None = None
    flat_percent: int | None = None
    tip_units: int = 0
    lease_secs: int | None = None
    life_secs: int | None = None
    bond_units: int = 1


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


def price(
    market: MarketView, now: int, model_id: bytes, max_output_tokens: int, wishes: Wishes, terms: Terms
) -> tuple[Quote, Offer]:
    """The quote, and the offer that wishes make of it. Raises PriceTooLow."""
    quoted = quote(market, now, Want(model_id, max_output_tokens, wishes.tip_units), terms)
    offer = Offer(
        fee_units=_or(wishes.fee_units, quoted.fee_units),
        flat_percent=_or(wishes.flat_percent, quoted.flat_percent),
        tip_units=wishes.tip_units,
        lease_secs=_or(wishes.lease_secs, quoted.lease_secs),
        life_secs=_or(wishes.life_secs, quoted.life_secs),
        bond_units=wishes.bond_units,
    )
    check_price(offer.fee_units, offer.flat_percent, offer.tip_units, max_output_tokens, terms)
    return quoted, offer


def _or(wish: int | None, quoted: int) -> int:
    return quoted if wish is None else wish


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
    desk: Desk,
    account: "LocalAccount",
    store: ContentStore,
    journal: Journal,
) -> "TxReceipt":
    """Simulate, store the input, journal, send and wait until mined.

    Raises MarketRevert before anything is stored, StoreUnavailable before anything is sent. A journalled task
    can be sent again by `resend` and is never paid twice.
    """
    call = desk.market.submit(ready.request, value_units)
    desk.market.simulate(call, account.address)
    params = ready.question.params
    store.put(params_key(params.digest()), params.encoded())
    store.put(ready.request.input_uri, ready.input_data)
    prompts = len(ready.question.prompts)
    journal.record(JournalEntry(ready.domain, ready.request, wallet, store.url, prompts, ready.made_at))
    return desk.send(call, account)


def resend(entry: JournalEntry, desk: Desk, account: "LocalAccount") -> "TxReceipt | None":
    """Send a journalled request unless the chain has it; None if it has. Harmless at any time.

    Raises NotEnoughMoney, MarketRevert.
    """
    if desk.market.task(entry.task_id).state is not TaskState.NONE:
        return None
    request = entry.request
    value_units = value_to_attach(
        account.address,
        escrow_units(request.max_fee_units, request.replicas, request.tip_units),
        desk.market.account(account.address).free_units,
        desk.rpc.balance_wei(account.address),
        desk.gas_price_wei(),
    )
    return desk.send(desk.market.submit(request, value_units), account)
