"""From a question to a task on chain: priced, drafted, shown, stored, journalled, sent; in this order.

Everything that can be wrong is found before the store or the chain is touched.
"""

import secrets
from dataclasses import dataclass

from chain.store import ContentStore, input_key, params_key
from protocol.batchfile import write_input
from protocol.digest import ZERO_DIGEST, sha256
from protocol.domain import Domain
from protocol.equivalence import EquivalenceClass, class_key
from protocol.errors import BadInput
from protocol.lifecycle import SkipReason
from protocol.money import escrow_units
from protocol.replay import MarketView
from protocol.request import Request, submit_refusal, task_id
from wallet.desk import Desk
from wallet.inputs import Question
from wallet.journal import Journal, JournalEntry
from wallet.quote import Quote, Terms, Want, check_price, quote

SEATS = (1, 3, 5, 7)


class BadReplicas(BadInput):
    """A number of replicas that has no majority, or is more than a round holds."""

    def __init__(self, replicas: int) -> None:
        super().__init__("ASK-008", "replicas", replicas, "give 1, 3, 5 or 7")


class ClassNotUsed(BadInput):
    """An equivalence class where one worker's word is asked for."""

    def __init__(self) -> None:
        super().__init__(
            "ASK-009", "class", "with one replica", "give --replicas 3, 5 or 7, or leave the class out"
        )


class RequestRefused(BadInput):
    """The market would refuse the request, whatever money there is."""

    def __init__(self, reason: SkipReason, request: Request) -> None:
        super().__init__(
            "ASK-010",
            "request",
            reason.name.lower().replace("_", " "),
            f"lease {request.lease_secs} s, deadline {request.deadline}; change --lease-secs or --life-secs",
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What the requester puts up: amounts in UNITs, times in seconds from now; `fee_units` is one replica's."""

    fee_units: int
    flat_percent: int
    tip_units: int
    lease_secs: int
    life_secs: int
    bond_units: int = 1
    replicas: int = 1
    equivalence: EquivalenceClass | None = None

    @property
    def max_price_units(self) -> int:
        return escrow_units(self.fee_units, self.replicas, self.tip_units)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the requester set by hand; None leaves it to the quote. Raises BadReplicas, ClassNotUsed."""

    fee_units: int | None = None
    flat_percent: int | None = None
    tip_units: int = 0
    lease_secs: int | None = None
    life_secs: int | None = None
    bond_units: int = 1
    replicas: int = 1
    equivalence: EquivalenceClass | None = None

    def __post_init__(self) -> None:
        if self.replicas not in SEATS:
            raise BadReplicas(self.replicas)
        if self.replicas == 1 and self.equivalence is not None:
            raise ClassNotUsed


@dataclass(frozen=True, slots=True)
class Draft:
    """A request with the bytes it names; nothing of it has left this machine."""

    domain: Domain
    request: Request
    question: Question
    equivalence: EquivalenceClass | None
    input_data: bytes
    made_at: int

    @property
    def task_id(self) -> bytes:
        return task_id(self.domain, self.request)


def price(
    market: MarketView, now: int, model_id: bytes, max_output_tokens: int, wishes: Wishes, terms: Terms
) -> tuple[Quote, Offer]:
    """The quote, and the offer that wishes make of it. Raises PriceTooLow, NoPriceYet."""
    want = Want(model_id, max_output_tokens, wishes.tip_units, wishes.replicas, wishes.fee_units)
    quoted = quote(market, now, want, terms)
    offer = Offer(
        fee_units=quoted.fee_units,
        flat_percent=_or(wishes.flat_percent, quoted.flat_percent),
        tip_units=wishes.tip_units,
        lease_secs=_or(wishes.lease_secs, quoted.lease_secs),
        life_secs=_or(wishes.life_secs, quoted.life_secs),
        bond_units=wishes.bond_units,
        replicas=wishes.replicas,
        equivalence=wishes.equivalence,
    )
    check_price(offer.fee_units, offer.flat_percent, want, terms)
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
        equivalence=ZERO_DIGEST if offer.equivalence is None else offer.equivalence.digest(),
        replicas=offer.replicas,
    )
    return Draft(domain, request, question, offer.equivalence, input_data, now)


def require_acceptable(desk: Desk, ready: Draft) -> None:
    """Raises RequestRefused where the market's own limits say no. A simulated `submit` would say it too, but
    only once the money is there.
    """
    reason = submit_refusal(ready.request, desk.deployment.parameters, ready.made_at)
    if reason is not None:
        raise RequestRefused(reason, ready.request)


def keep(ready: Draft, wallet: str, store: ContentStore, journal: Journal) -> None:
    """Everything the request names into the store, then the request into the journal: from here on it can be sent
    again by its id, and is never paid twice. Raises StoreUnavailable before anything is journalled.
    """
    params = ready.question.params
    content = {params_key(params.digest()): params.encoded(), ready.request.input_uri: ready.input_data}
    if ready.equivalence is not None:
        content[class_key(ready.equivalence.digest())] = ready.equivalence.encoded()
    for key, data in content.items():
        store.put(key, data)
    prompts = len(ready.question.prompts)
    journal.record(JournalEntry(ready.domain, ready.request, wallet, store.url, prompts, ready.made_at))
