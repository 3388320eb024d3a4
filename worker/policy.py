"""What deciding rests on besides chain and artefacts: clocks, the cost of a token, what operator and market allow."""

from dataclasses import dataclass, field

from protocol.currency import ETHER, Currency
from worker.artefacts import InputFacts


@dataclass(frozen=True, slots=True)
class Clock:
    """`chain_secs` is the timestamp the next block will at least have, `wall_secs` this machine's time."""

    chain_secs: int
    wall_secs: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Upper bounds of what a token costs in a busy engine, from the meta-model's prediction for a whole batch."""

    prefill_secs_per_token: float = 0.0
    decode_secs_per_token: float = 0.0

    def queue_secs(self, facts: InputFacts) -> float:
        """How much later everything behind this task gets its turn."""
        return (
            facts.prompt_tokens * self.prefill_secs_per_token
            + facts.max_output_tokens * self.decode_secs_per_token
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What operator and market allow, and what the moment costs. Amounts in units, `base_fee_wei` per gas.

    `batch_tokens` is what an engine's KV cache holds, `output_share` how much of the tokens they may produce prompts do
    produce. `turn_secs`: where each of several workers may make the same call, each waits so long for the one before.
    `patience_secs`: how long a slow input holds up what ranks behind it; `gather_secs`: how long after
    its reading began an input that is ready waits for those that are read beside it.
    """

    models: frozenset[bytes]
    bond_unit_units: int
    max_bond_units: int
    max_output_tokens: int
    units_per_engine_sec: float
    low_output_share: float
    gas_per_task: int
    base_fee_wei: int
    lease_margin: float
    spare_secs: int
    batch_tasks: int
    batch_prompts: int
    batch_secs: float
    fetch_ahead: int
    fetch_ahead_tokens: int
    attempts: int
    withdraw_above_units: int = 0
    batch_tokens: int = 1 << 62
    output_share: float = 1.0
    give_up_over: float = 0.0
    draining: bool = False
    patience_secs: float = 1.0
    gather_secs: float = 0.1
    turn_secs: int = 2
    currency: Currency = ETHER
    rates: Rates = field(default_factory=Rates)

    def kv_tokens(self, facts: InputFacts) -> int:
        """What a task will likely take of an engine's KV cache."""
        return facts.prompt_tokens + int(self.output_share * facts.max_output_tokens)
