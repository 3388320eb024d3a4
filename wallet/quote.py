"""What an answer should cost and how long it should take, from the open queue and what was settled lately.

The price has two parts, as the market charges it: a flat one that pays for claiming, posting, settling and
prefill, and one per output token. Each is the median of what settled tasks of the same model paid; the flat
one never falls under a worker's gas. The wait counts the tokens ranked ahead at the speed of recent work.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from protocol.currency import ETHER, Currency
from protocol.errors import BadInput
from protocol.lifecycle import Standing, TaskState, TaskView, claimable, derived_state
from protocol.money import charge_units, escrow_units
from protocol.priority import TOKENS_PER_PRICE, priority, task_priority
from protocol.replay import MarketView

RECENT_TASKS = 50
# Gas of claiming, posting and settling one task in a batch, as workers assume it.
GAS_PER_TASK = 45_000
# Gas of one replica: claim, commit, reveal, and its share of closing and settling, none of it in a batch.
GAS_PER_REPLICA = 250_000
# Alone a task costs three times that, and the base fee may rise: where no price is known, an offer covers both.
UNKNOWN_FLAT_MARGIN = 4
DEFAULT_UNITS_PER_TOKEN = 500
# A worker that judges whether a task pays assumes that only so much of the output comes.
LOW_OUTPUT_SHARE = 0.25
UNKNOWN_TOKENS_PER_S = 10.0
_LEASE_BASE_SECS = 120
_LEASE_MARGIN = 3
_LEASE_LIMIT_SECS = 6 * 3600
_LIFE_SECS = 3600
_UINT48_MAX = (1 << 48) - 1
_BUSY = (Standing.LEASED, Standing.LAPSED, Standing.REVEALABLE, Standing.REVEALING, Standing.CLOSABLE)


class PriceTooLow(BadInput):
    """A price that would not even return a worker's gas, so that nobody would serve."""

    def __init__(self, least_units: int, gas_units: int) -> None:
        super().__init__(
            "QUOTE-001",
            "price",
            f"{least_units} gwei for a short answer",
            f"serving costs about {gas_units} gwei of gas; raise --max-fee, --flat-percent or --tip",
        )


class NoPriceYet(BadInput):
    """A market in a token where nothing was settled: what serving costs, in ether, says nothing about its price."""

    def __init__(self, currency: Currency) -> None:
        super().__init__(
            "QUOTE-002",
            "price",
            "unknown",
            f"nothing was settled in {currency.symbol} yet; name the most you would pay by --max-fee",
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What the market and the chain set: seconds, wei, and `age_rate_wei` per second waited."""

    min_lease_secs: int
    max_life_secs: int
    age_rate_wei: int
    gas_price_wei: int
    currency: Currency = ETHER

    def gas_units(self, replicas: int = 1) -> int:
        """What serving a task costs one worker, at least one UNIT. Gas is ether: no amount of another currency
        can be held against it.
        """
        if not self.currency.is_ether:
            return 1
        gas = GAS_PER_TASK if replicas == 1 else GAS_PER_REPLICA
        return max(1, -(-gas * self.gas_price_wei // self.currency.unit))


@dataclass(frozen=True, slots=True)
class Want:
    """What is to be asked. `fee_units` is one replica's, None where the market's past is to name it."""

    model_id: bytes
    max_output_tokens: int
    tip_units: int = 0
    replicas: int = 1
    fee_units: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """`max_price_units` is all that can be spent; what is not used of it returns. `fee_units` is one replica's.

    `wait_secs` runs from submit to the posted result, None while nothing was served; `recent_tasks` is how
    many settled tasks the price rests on; `front_tip_units` would rank before all open tasks.
    """

    fee_units: int
    flat_percent: int
    tip_units: int
    replicas: int
    lease_secs: int
    life_secs: int
    wait_secs: float | None
    tasks_ahead: int
    tokens_ahead: int
    front_tip_units: int
    recent_tasks: int
    tokens_per_s: float | None

    @property
    def max_price_units(self) -> int:
        return escrow_units(self.fee_units, self.replicas, self.tip_units)


@dataclass(frozen=True, slots=True)
class _Pace:
    """How fast recent tasks were served: output tokens per second while any was leased; share of the declared
    output that came; the wait of the quickest quarter. All as if unknown where nothing was served."""

    tokens_per_s: float | None
    output_share: float
    quick_secs: float


def quote(market: MarketView, now: int, want: Want, terms: Terms) -> Quote:
    """A price that recent requesters paid, and the wait it buys at second `now`. Raises NoPriceYet."""
    tasks = [task for task in market.tasks.values() if task.request.model_id == want.model_id]
    settled = _latest(task for task in tasks if task.state is TaskState.SETTLED)
    fee_units, flat_percent = _typical_price(settled, want, terms)
    pace = _pace(_latest(task for task in tasks if task.posted_at))
    ahead = _ahead(tasks, now, want, terms)
    tokens_ahead = sum(_work(task) for task in ahead)
    service_secs = _secs(want.max_output_tokens * want.replicas, pace)
    wait_secs = None
    if pace.tokens_per_s is not None:
        wait_secs = max(_secs(tokens_ahead, pace) + service_secs, pace.quick_secs)
    wanted_lease = min(_LEASE_LIMIT_SECS, _LEASE_BASE_SECS + _LEASE_MARGIN * int(service_secs))
    lease_secs = min(max(wanted_lease, terms.min_lease_secs), terms.max_life_secs)
    return Quote(
        fee_units=fee_units,
        flat_percent=flat_percent,
        tip_units=want.tip_units,
        replicas=want.replicas,
        lease_secs=lease_secs,
        life_secs=min(_LIFE_SECS + 2 * (lease_secs + int(wait_secs or 0)), terms.max_life_secs),
        wait_secs=wait_secs,
        tasks_ahead=len(ahead),
        tokens_ahead=tokens_ahead,
        front_tip_units=_front_tip(tasks, now, want, terms),
        recent_tasks=len(settled),
        tokens_per_s=pace.tokens_per_s,
    )


def check_price(fee_units: int, flat_percent: int, want: Want, terms: Terms) -> None:
    """Raises PriceTooLow if a short answer would not return the gas of serving it."""
    tokens = int(LOW_OUTPUT_SHARE * want.max_output_tokens)
    least = charge_units(fee_units, flat_percent, tokens, want.max_output_tokens)
    least += want.tip_units // want.replicas
    gas_units = terms.gas_units(want.replicas)
    if least < gas_units and terms.currency.is_ether:
        raise PriceTooLow(least, gas_units)


def keeps_its_rank(task: TaskView, new_tip_units: int, now: int, terms: Terms) -> bool:
    """Whether raising the tip ranks the task no lower: a raise starts its waiting again."""
    raised = _fresh_priority(new_tip_units, _work(task), terms)
    return raised >= task_priority(task, now, terms.age_rate_wei, terms.currency.unit)


def _latest(tasks: Iterable[TaskView]) -> list[TaskView]:
    return sorted(tasks, key=lambda task: (task.posted_at, task.task_id))[-RECENT_TASKS:]


def _work(task: TaskView) -> int:
    """Output tokens at most, of all replicas together: the market's measure of a task's size."""
    return task.request.max_output_tokens * task.request.replicas


def _typical_price(settled: Sequence[TaskView], want: Want, terms: Terms) -> tuple[int, int]:
    """(one replica's fee in UNITs, flat percent) that the median of the settled tasks would have offered."""
    gas_units = terms.gas_units(want.replicas)
    flats, rates = [float(UNKNOWN_FLAT_MARGIN * gas_units)], [float(DEFAULT_UNITS_PER_TOKEN)]
    if not settled and not terms.currency.is_ether and want.fee_units is None:
        raise NoPriceYet(terms.currency)
    if settled:
        requests = [task.request for task in settled]
        flats = [request.max_fee_units * request.flat_percent / 100 for request in requests]
        rates = [
            (request.max_fee_units - flat) / request.max_output_tokens
            for request, flat in zip(requests, flats, strict=True)
        ]
    flat_units = max(ceil(median(flats)), gas_units)
    fee_units = min(flat_units + ceil(median(rates) * want.max_output_tokens), _UINT48_MAX)
    if want.fee_units is not None:
        fee_units = want.fee_units
    return fee_units, min(100, -(-100 * flat_units // max(1, fee_units)))


def _pace(served: Sequence[TaskView]) -> _Pace:
    if not served:
        return _Pace(None, 1.0, 0.0)
    tokens = sum(task.output_tokens * task.request.replicas for task in served)
    declared = sum(_work(task) for task in served)
    waits = sorted(task.posted_at - task.submitted_at for task in served)
    # Blocks count whole seconds: work done within one still took a part of it.
    busy_secs = max(1, _covered_secs((task.claimed_at, task.posted_at) for task in served))
    return _Pace(max(tokens, 1) / busy_secs, max(tokens, 1) / declared, float(waits[len(waits) // 4]))


def _secs(declared_tokens: int, pace: _Pace) -> float:
    """Time to serve so many declared tokens."""
    return pace.output_share * declared_tokens / (pace.tokens_per_s or UNKNOWN_TOKENS_PER_S)


def _covered_secs(spans: Iterable[tuple[int, int]]) -> int:
    """Length of the union of the spans."""
    covered, reached = 0, 0
    for start, end in sorted(spans):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _fresh_priority(tip_units: int, work: int, terms: Terms) -> int:
    """Priority of a task priced this very second: it has no age yet. `work` as `_work` has it."""
    return priority(tip_units * terms.currency.unit, 1, work, priced_at=0, now=0, age_rate_wei=0)


def _ahead(tasks: Sequence[TaskView], now: int, want: Want, terms: Terms) -> list[TaskView]:
    """Tasks in work, and the waiting ones that a task submitted now would not pass."""
    own = _fresh_priority(want.tip_units, want.max_output_tokens * want.replicas, terms)
    return [
        task
        for task in tasks
        if (_rank(task, now, terms) >= own if claimable(task, now) else derived_state(task, now) in _BUSY)
    ]


def _rank(task: TaskView, now: int, terms: Terms) -> int:
    return task_priority(task, now, terms.age_rate_wei, terms.currency.unit)


def _front_tip(tasks: Sequence[TaskView], now: int, want: Want, terms: Terms) -> int:
    """The least tip that would rank before every waiting task; 0 if none waits."""
    waiting = [task for task in tasks if claimable(task, now)]
    if not waiting:
        return 0
    best = max(_rank(task, now, terms) for task in waiting)
    return -(-(best + 1) * want.max_output_tokens * want.replicas // (TOKENS_PER_PRICE * terms.currency.unit))
