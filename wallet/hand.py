"""Whose word and whose gas: a requester signs; the same key, or a relayer's, sends and pays for the transaction."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eth_typing import Hash32

from chain.call import Call
from chain.store import ContentStore
from protocol.errors import BadInput
from protocol.request import Request, cancel_digest, task_id
from wallet.desk import Desk
from wallet.journal import Journal
from wallet.purse import ASK_GAS, deposit_calls, require_deposit
from wallet.submit import Draft, keep

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.journal import TxReceipt


class NotDeposited(BadInput):
    """A signed request draws on the free balance alone, and that does not cover it."""

    def __init__(self, address: str, free: str, needed: str) -> None:
        super().__init__(
            "ASK-011",
            "requester",
            address,
            f"{free} free in the market, a relayed request takes {needed} from there; 'quern money deposit' first",
        )


@dataclass(frozen=True, slots=True)
class Hand:
    """`relayer` None: the signer sends what it signs."""

    signer: "LocalAccount"
    relayer: "LocalAccount | None" = None

    @property
    def sender(self) -> "LocalAccount":
        return self.relayer or self.signer

    def sign(self, digest: bytes) -> bytes:
        """65 bytes: r, s, v."""
        return bytes(self.signer.unsafe_sign_hash(Hash32(digest)).signature)


def require_affordable(desk: Desk, requester: str, price_units: int, relayer: str | None) -> None:
    """That the price and the gas are there. Raises NotDeposited, NotThatMuch."""
    free_units = desk.market.account(requester).free_units
    lacking_units = max(0, price_units - free_units)
    if relayer is not None:
        if lacking_units:
            raise NotDeposited(requester, desk.currency.show(free_units), desk.currency.show(price_units))
        desk.require_gas(relayer, ASK_GAS)
    elif lacking_units:
        require_deposit(desk, "price beyond the free balance", lacking_units, requester, ASK_GAS)
    else:
        desk.require_gas(requester, ASK_GAS)


def submit_calls(desk: Desk, request: Request, price_units: int, hand: Hand) -> tuple[Call, ...]:
    """What puts the request on chain, to be sent in order by `hand.sender`; the last is the request itself."""
    if hand.relayer is not None:
        signature = hand.sign(task_id(desk.domain, request))
        return (desk.market.submit_by_sig(request, signature),)
    lacking_units = max(0, price_units - desk.market.account(request.requester).free_units)
    if desk.is_ether or not lacking_units:
        return (desk.market.submit(request, lacking_units),)
    return (*deposit_calls(desk, hand.signer, lacking_units, request.requester), desk.market.submit(request))


def send(
    desk: Desk, ready: Draft, price_units: int, hand: Hand, wallet: str, store: ContentStore, journal: Journal
) -> "tuple[TxReceipt, ...]":
    """Simulate, store what the request names, journal it, send and wait until mined.

    Raises MarketRevert before anything is stored, StoreUnavailable before anything is sent.
    """
    calls = submit_calls(desk, ready.request, price_units, hand)
    if len(calls) == 1:  # the last of several can only be tried once the others are mined
        desk.market.simulate(calls[0], hand.sender.address)
    keep(ready, wallet, store, journal)
    return tuple(desk.send(call, hand.sender) for call in calls)


def cancel_call(desk: Desk, task: bytes, hand: Hand) -> Call:
    """By the requester's own transaction, or by the requester's signature in a relayer's."""
    if hand.relayer is None:
        return desk.market.cancel(task)
    return desk.market.cancel_by_sig(task, hand.sign(cancel_digest(desk.domain, task)))
