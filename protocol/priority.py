"""The order in which workers serve: what a task pays per token, and how long it has waited."""

from protocol.domain import UNIT_WEI
from protocol.lifecycle import TaskView

TOKENS_PER_PRICE = 10**6


def priority(
    tip_wei: int, replicas: int, max_output_tokens: int, priced_at: int, now: int, age_rate_wei: int
) -> int:
    """Wei per million output tokens, plus `age_rate_wei` (that unit, per second) for each second waited."""
    price = tip_wei * TOKENS_PER_PRICE // (replicas * max_output_tokens)
    return price + age_rate_wei * max(0, now - priced_at)


def task_priority(task: TaskView, now: int, age_rate_wei: int, unit_wei: int = UNIT_WEI) -> int:
    """`priority` of a task derived from events, at second `now`; `unit_wei` is the market's UNIT."""
    request = task.request
    return priority(
        task.tip_units * unit_wei,
        request.replicas,
        request.max_output_tokens,
        task.priced_at,
        now,
        age_rate_wei,
    )


def rank_key(priority_wei: int, task_id: bytes) -> tuple[int, bytes]:
    """Sort ascending by this: best priority first, ties by the lower id."""
    return -priority_wei, task_id
