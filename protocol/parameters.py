"""What is fixed when a market is made."""

from dataclasses import dataclass

from protocol.abi import ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class Parameters:
    """The market's constructor arguments. Seconds, UNITs, and wei per million output tokens per second.

    `arbiter` rules on disputes. `token` is the ERC-20 that is the market's currency; the zero address: ether.
    """

    window_secs: int
    answer_time_secs: int
    arbiter_timeout_secs: int
    min_lease_secs: int
    max_life_secs: int
    inversion_grace_secs: int
    bond_unit_units: int
    challenge_bond_units: int
    demand_fee_units: int
    age_rate_wei: int
    arbiter: str = ZERO_ADDRESS
    token: str = ZERO_ADDRESS

    @property
    def least_ruling_secs(self) -> int:
        """What a ruling may have to wait for before it can begin: a demand made in the window's last second."""
        return self.window_secs + self.answer_time_secs
