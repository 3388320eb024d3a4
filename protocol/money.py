"""What a task costs and what a lease can lose, in UNITs, rounded down as the market rounds."""

RELEASE_FLOOR_PERCENT = 5


def escrow_units(max_fee_units: int, replicas: int, tip_units: int) -> int:
    """What `submit` moves from the requester's free balance to the task."""
    return max_fee_units * replicas + tip_units


def charge_units(max_fee_units: int, flat_percent: int, output_tokens: int, max_output_tokens: int) -> int:
    """The metered fee, without tip: the flat part pays prefill, the rest is by the output token."""
    flat = max_fee_units * flat_percent // 100
    return flat + (max_fee_units - flat) * output_tokens // max_output_tokens


def bond_units_total(bond_units: int, bond_unit_units: int) -> int:
    """Bond of one lease: the request's multiple of the market's BOND, in UNITs."""
    return bond_units * bond_unit_units


def release_burn_units(bond_total_units: int, held_secs: int, lease_secs: int) -> int:
    """What an early release burns: the share of the lease used up, at least 5 %."""
    floor = bond_total_units * RELEASE_FLOOR_PERCENT // 100
    return min(bond_total_units, max(floor, bond_total_units * held_secs // lease_secs))
