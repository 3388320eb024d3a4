"""From runs to costs: what each strategy took on each task, as one number per target."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.strategy import JsonValue, Strategy
from metainf.table import OK, Measurement

# Shorter stretches are below what the clocks resolve; they also keep logarithms finite.
LEAST_SECS = 1e-4


@dataclass(frozen=True, slots=True)
class Cost:
    """One strategy on one task. Seconds are None where no run succeeded; `failed_ratio` is the share
    that did not.
    """

    task_id: str
    model_name: str
    strategy: Strategy
    model: ModelFacts
    hardware: HardwareFacts
    workload: Workload
    total_secs: float | None
    prefill_secs: float
    decode_secs: float
    failed_ratio: float


def costs(rows: Sequence[Measurement]) -> tuple[Cost, ...]:
    """One `Cost` for each measured (task, strategy), ordered by both names.

    Strategies of a task are compared within each repeat, in which they ran side by side: a run's processor
    seconds are divided by the median over strategies of that repeat, the median of these ratios over the
    repeats is the strategy's, and the quickest repeat's median gives the scale. So a repeat during which
    the whole machine was slow counts as little as a single slow run.
    """
    groups: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for row in rows:
        groups[row.task_id, row.strategy].append(row)
    levels = _levels(rows)
    return tuple(_cost(groups[key], levels) for key in sorted(groups))


def _levels(rows: Iterable[Measurement]) -> dict[tuple[str, int], float]:
    """Median processor seconds of each (task, repeat)."""
    runs: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        if row.outcome == OK:
            runs[row.task_id, row.repeat].append(row.cpu_secs)
    return {key: median(secs) for key, secs in runs.items()}


def _cost(group: Sequence[Measurement], levels: dict[tuple[str, int], float]) -> Cost:
    first = group[0]
    good = [row for row in group if row.outcome == OK]
    total = None
    prefill_share = 0.0
    if good:
        scale = min(level for (task_id, _), level in levels.items() if task_id == first.task_id)
        ratio = median(log(row.cpu_secs / levels[row.task_id, row.repeat]) for row in good)
        total = max(scale * exp(ratio), LEAST_SECS)
        prefill_share = median(row.prefill_cpu_secs / row.cpu_secs for row in good)
    return Cost(
        task_id=first.task_id,
        model_name=first.model_name,
        strategy=recorded_strategy(first),
        model=first.model,
        hardware=first.hardware,
        workload=first.workload,
        total_secs=total,
        prefill_secs=max((total or 0.0) * prefill_share, LEAST_SECS),
        decode_secs=max((total or 0.0) * (1 - prefill_share), LEAST_SECS),
        failed_ratio=1 - len(good) / len(group),
    )


def recorded_strategy(row: Measurement) -> Strategy:
    """The strategy a row was measured under, from the row itself: it may no longer be in the catalogue."""
    import json

    stored: dict[str, JsonValue] = json.loads(row.strategy_json)
    arguments, environment = stored["engine_args"], stored["environment"]
    devices = stored["devices"]
    assert isinstance(arguments, dict)
    assert isinstance(environment, dict)
    assert isinstance(devices, list)
    return Strategy(
        name=row.strategy,
        engine_args=arguments,
        environment={name: str(value) for name, value in environment.items()},
        devices=tuple(map(str, devices)),
        vllm_versions=str(stored["vllm_versions"]),
        exact=bool(stored["exact"]),
        description="",
    )
