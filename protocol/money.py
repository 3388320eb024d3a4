"""What a task costs, what a lease can lose and where bonds go, in UNITs, rounded down as the market rounds."""

from typing import NamedTuple

from protocol.currency import ETHER, Currency

RELEASE_FLOOR_PERCENT = 5


class Slash(NamedTuple):
    """Where a bond at fault goes."""

    to_challenger_units: int
    to_arbiter_units: int
    burned_units: int


class LostChallenge(NamedTuple):
    """Where the bond of a lost challenge goes; `to_each_units` to every winner."""

    to_each_units: int
    to_arbiter_units: int
    burned_units: int


def escrow_units(max_fee_units: int, replicas: int, tip_units: int) -> int:
    """What `submit` moves from the requester's free balance to the task."""
    return max_fee_units * replicas + tip_units


def quorum(replicas: int) -> int:
    """How many equal verdicts carry a round."""
    return replicas // 2 + 1


def charge_units(max_fee_units: int, flat_percent: int, output_tokens: int, max_output_tokens: int) -> int:
    """The metered fee, without tip: the flat part pays prefill, the rest is by the output token."""
    flat = max_fee_units * flat_percent // 100
    return flat + (max_fee_units - flat) * output_tokens // max_output_tokens


def winner_units(charge: int, tip_units: int, replicas: int) -> int:
    """What a worker gets whose result counts; a tip that does not divide goes back to the requester."""
    return charge + tip_units // replicas


def no_quorum_units(charge: int) -> int:
    """What a revealed replica gets of its own charge where no verdict had the quorum."""
    return charge // 2


def bond_units_total(bond_units: int, bond_unit_units: int) -> int:
    """Bond of one lease: the request's multiple of the market's BOND, in UNITs."""
    return bond_units * bond_unit_units


def release_burn_units(bond_total_units: int, held_secs: int, lease_secs: int) -> int:
    """What an early release burns: the share of the lease used up, at least 5 %."""
    floor = bond_total_units * RELEASE_FLOOR_PERCENT // 100
    return min(bond_total_units, max(floor, bond_total_units * held_secs // lease_secs))


def slash(bond_total_units: int) -> Slash:
    """A bond at fault: half to the challenger, a quarter to the arbiter, the rest burned."""
    to_challenger, to_arbiter = bond_total_units // 2, bond_total_units // 4
    return Slash(to_challenger, to_arbiter, bond_total_units - to_challenger - to_arbiter)


def lost_challenge(bond_total_units: int, winners: int) -> LostChallenge:
    """A challenger's bond when the result was sound: half to the winners, a quarter to the arbiter."""
    to_each, to_arbiter = bond_total_units // 2 // winners, bond_total_units // 4
    return LostChallenge(to_each, to_arbiter, bond_total_units - to_each * winners - to_arbiter)


def demand_share(fee_units: int, winners: int) -> tuple[int, int]:
    """Of an answered demand's fee: what each winner gets, and what is burned because it does not divide."""
    each = fee_units // winners
    return each, fee_units - each * winners


def show_units(units: int, currency: Currency = ETHER) -> str:
    """An amount as people read it: "1,234,500 gwei (0.0012345 ether)", or "2.5 USDC" in a token's market."""
    return currency.show(units)
