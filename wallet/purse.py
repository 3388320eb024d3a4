"""Money into the market and out of it, in ether or in the market's token."""

from typing import TYPE_CHECKING

from eth_typing import Hash32

from chain.call import Call
from chain.revert import MarketRevert
from chain.rpc import NodeError
from chain.token import Token
from protocol.permit import permit_digest
from wallet.desk import PLAIN_GAS, Desk, NotThatMuch, clock

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

ASK_GAS = 400_000
_PERMIT_SECS = 3600


def outside_units(desk: Desk, address: str) -> int:
    """What an address holds of the market's currency outside of it."""
    if desk.is_ether:
        return desk.rpc.balance_wei(address) // desk.currency.unit
    return _token(desk).balance_of(address) // desk.currency.unit


def require_deposit(desk: Desk, field: str, units: int, address: str, gas: int = PLAIN_GAS) -> None:
    """Raises NotThatMuch where the wallet does not cover amount and gas."""
    after_gas_units = desk.require_gas(address, gas) // desk.currency.unit
    there_units = after_gas_units if desk.is_ether else outside_units(desk, address)
    if not 0 < units <= there_units:
        raise NotThatMuch(field, desk.currency.show(units), desk.currency.show(there_units))


def deposit_calls(desk: Desk, account: "LocalAccount", units: int, beneficiary: str) -> tuple[Call, ...]:
    """Ether goes along with one call. A token is pulled by the market: by a signed permit where the token knows
    EIP-2612, else after an approval of exactly this amount.
    """
    deposit = desk.market.deposit(beneficiary, units)
    if desk.is_ether:
        return (deposit,)
    token, amount = _token(desk), units * desk.currency.unit
    allowed = token.allowance(account.address, desk.deployment.market)
    if allowed >= amount:
        return (deposit,)
    permitted = _permitted(desk, account, units, beneficiary)
    if permitted is not None:
        return (permitted,)
    # Some tokens refuse to change an allowance that is not zero (the race of EIP-20's approve).
    cleared = (token.approve(desk.deployment.market, 0),) if allowed else ()
    return (*cleared, token.approve(desk.deployment.market, amount), deposit)


def withdraw_call(desk: Desk, units: int | None, address: str, to: str) -> Call:
    """All that is free if `units` is None. Raises NotThatMuch."""
    free_units = desk.market.account(address).free_units
    wanted = free_units if units is None else units
    if not 0 < wanted <= free_units:
        raise NotThatMuch("withdrawal", desk.currency.show(wanted), desk.currency.show(free_units))
    desk.require_gas(address)
    return desk.market.withdraw(wanted, to)


def _permitted(desk: Desk, account: "LocalAccount", units: int, beneficiary: str) -> Call | None:
    """The deposit by permit, if the token takes one as this market makes it."""
    token, owner = _token(desk), account.address
    deadline = clock(desk.rpc.latest()) + _PERMIT_SECS
    try:
        digest = permit_digest(
            token.domain_separator(),
            owner,
            desk.deployment.market,
            units * desk.currency.unit,
            token.nonce(owner),
            deadline,
        )
        signed = account.unsafe_sign_hash(Hash32(digest))
        r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
        call = desk.market.deposit_with_permit(beneficiary, units, deadline, signed.v, r, s)
        desk.market.simulate(call, owner)
    except (MarketRevert, NodeError):
        return None
    return call


def _token(desk: Desk) -> Token:
    return Token(desk.rpc, desk.deployment.parameters.token)
