"""What goes wrong when: drawn from a seed by number alone, so that the same seed makes the same trouble again."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from protocol.errors import BadInput

_LONGEST_LAG_SECS = 1.0
_DEEPEST_STALE_BLOCKS = 5
_BUSY_SECS = (0, 0, 1)


class Fault(StrEnum):
    """What a request to the node can meet. The last two concern requests that send transactions."""

    BUSY = "busy"
    RESET = "reset"
    TRUNCATE = "truncate"
    LAG = "lag"
    STALE = "stale"
    DROP_SEND = "drop-send"
    DUPLICATE_SEND = "duplicate-send"


SEND_FAULTS = frozenset({Fault.DROP_SEND, Fault.DUPLICATE_SEND})


class BadRates(BadInput):
    """Not a list of faults with how often each is wanted."""

    def __init__(self, value: str, reason: str) -> None:
        names = ", ".join(Fault)
        super().__init__(
            "DEVNET-006", "rates", value, f"{reason}; write busy=0.02,lag=0.1 with faults of: {names}"
        )


class BadSchedule(BadInput):
    """A number no schedule can be made of."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("DEVNET-007", field, value, fix)


@dataclass(frozen=True, slots=True)
class Injection:
    """The fault of one request. `amount` is in seconds for BUSY and LAG, in blocks for STALE, else a share of 1."""

    number: int
    fault: Fault
    amount: float


@dataclass(frozen=True, slots=True)
class PlannedReorg:
    """`lost_share` of the orphaned transactions is left out; `draw` seeds which."""

    number: int
    pause_secs: float
    depth: int
    lost_share: float
    draw: int


class Schedule:
    """`rates` are shares of all requests; reorganisations come every `reorg_secs` on average, never if that is 0."""

    def __init__(
        self, seed: int, rates: Mapping[Fault, float], reorg_secs: float = 0.0, max_depth: int = 10
    ) -> None:
        for fault, rate in rates.items():
            if not 0 <= rate <= 1:
                raise BadRates(f"{fault}={rate}", "a rate lies between 0 and 1")
        if sum(rates.values()) > 1:
            raise BadRates(show_rates(rates), "the rates add up to more than 1")
        if not reorg_secs >= 0:
            raise BadSchedule("reorg-secs", reorg_secs, "give seconds, or 0 for no reorganisations")
        if max_depth < 1:
            raise BadSchedule("max-depth", max_depth, "give at least one block")
        self.seed = seed
        self.rates = {fault: rates.get(fault, 0.0) for fault in Fault}
        self.reorg_secs = reorg_secs
        self.max_depth = max_depth

    def at(self, number: int, *, sends: bool) -> Injection | None:
        """The fault of request `number`, if it has one; `sends` says whether it carries transactions."""
        draw = random.Random(f"{self.seed} request {number}")
        rest = draw.random()
        for fault, rate in self.rates.items():
            rest -= rate
            if rest < 0:
                known = sends or fault not in SEND_FAULTS
                return Injection(number, fault, _amount(fault, draw)) if known else None
        return None

    def reorg(self, number: int) -> PlannedReorg | None:
        """The reorganisation after `number` others."""
        if not self.reorg_secs:
            return None
        draw = random.Random(f"{self.seed} reorg {number}")
        return PlannedReorg(
            number=number,
            pause_secs=draw.uniform(0.5, 1.5) * self.reorg_secs,
            depth=draw.randint(1, self.max_depth),
            lost_share=draw.choice((0.0, 0.3, 1.0)),
            draw=draw.getrandbits(32),
        )


def parse_rates(text: str) -> dict[Fault, float]:
    """`busy=0.02,lag=0.1`; nothing is no faults. Raises BadRates."""
    rates: dict[Fault, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, found, rate = part.partition("=")
        try:
            rates[Fault(name.strip())] = float(rate) if found else float("nan")
        except ValueError as error:
            raise BadRates(part, "not a fault and its rate") from error
    return rates


def show_rates(rates: Mapping[Fault, float]) -> str:
    """As `parse_rates` reads them."""
    return ",".join(f"{fault}={rate:g}" for fault, rate in rates.items() if rate)


def _amount(fault: Fault, draw: random.Random) -> float:
    match fault:
        case Fault.BUSY:
            return draw.choice(_BUSY_SECS)
        case Fault.LAG:
            return round(draw.uniform(0.05, _LONGEST_LAG_SECS), 3)
        case Fault.STALE:
            return draw.randint(1, _DEEPEST_STALE_BLOCKS)
        case _:
            return round(draw.random(), 3)
