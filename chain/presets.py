"""Parameters to deploy a market with, by the kind of chain: short times on a devnet, long ones where people act."""

from dataclasses import replace

from protocol.domain import ETHER_UNITS, UNIT_WEI
from protocol.parameters import Parameters

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

_DEVNET = Parameters(
    window_secs=5,
    answer_time_secs=20,
    arbiter_timeout_secs=120,
    min_lease_secs=5,
    max_life_secs=_DAY,
    inversion_grace_secs=5,
    bond_unit_units=ETHER_UNITS // 1_000,
    challenge_bond_units=ETHER_UNITS // 500,
    demand_fee_units=ETHER_UNITS // 5_000,
    age_rate_wei=UNIT_WEI,
)
PRESETS = {
    "devnet": _DEVNET,
    "bench": replace(_DEVNET, window_secs=1),
    "public": replace(
        _DEVNET,
        window_secs=_HOUR,
        answer_time_secs=_HOUR,
        arbiter_timeout_secs=3 * _DAY,
        min_lease_secs=_MINUTE // 2,
        max_life_secs=30 * _DAY,
        inversion_grace_secs=_MINUTE,
    ),
}

# How long a panel votes: seconds to commit and to reveal.
PANEL_SECS = {"devnet": (20, 20), "bench": (20, 20), "public": (_DAY, _DAY // 2)}
