"""From runs to costs: what each strategy took on each task, as one number per target."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from metainf.contention import crowding, slope
from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.robust import deviation
from metainf.strategy import JsonValue, Strategy
from metainf.table import OK, Measurement

# Shorter stretches are below what the clocks resolve; they also keep logarithms finite.
LEAST_SECS = 1e-4
# Of the fit of levels: rounds of reweighing, where a run begins to count less, in spreads, and the least spread (log).
_ROUNDS = 8
_FAR = 1.5
_LEAST_SPREAD = 0.02
# Of shorter runs no two agree, and running them again does not change that.
LEAST_DOUBTED_SECS = 0.05

# Task, block, repeat.
TurnKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """One strategy on one task. Seconds are None where no run succeeded; `failed_ratio` is the share
    that did not. `family` is the kind of work the task was measured for, or else what its batch looks like; `work` is
    what tasks have in common that are one and the same on several machines.
    """

    task_id: str
    work: str
    model_name: str
    strategy: Strategy
    model: ModelFacts
    hardware: HardwareFacts
    workload: Workload
    total_secs: float | None
    prefill_secs: float
    decode_secs: float
    failed_ratio: float
    family: str


def costs(rows: Sequence[Measurement]) -> tuple[Cost, ...]:
    """One `Cost` for each measured (task, strategy), ordered by both names.

    Strategies of a task are compared within each turn (a block and its repeat), in which they ran side by
    side: a run's seconds are divided by the level of that turn, the median of these ratios over the turns is
    the strategy's, and the quickest turn's level gives the scale. So a turn during which the whole machine was
    slow counts as little as a single slow run, and strategies measured in other turns are compared through
    those that ran in both. What other work on the machine added is taken off first (`contention`), and outputs
    that were drawn longer or shorter than beside it are brought to one length. A task that ran on several machines
    is as many tasks, named after them.
    """
    groups: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for row in _comparable(rows):
        groups[row.task_id, row.strategy].append(row)
    levels = _levels([row for group in groups.values() for row in group])
    return tuple(_cost(groups[key], levels) for key in sorted(groups))


def log_ratios(rows: Sequence[Measurement]) -> dict[tuple[str, str], dict[TurnKey, float]]:
    """For each task and strategy of `costs`: in each of its turns, log seconds over that turn's level."""
    runs: dict[tuple[str, str], dict[TurnKey, list[float]]] = defaultdict(lambda: defaultdict(list))
    comparable = [row for row in _comparable(rows) if row.outcome == OK]
    levels = _levels(comparable)
    for row in comparable:
        runs[row.task_id, row.strategy][_turn(row)].append(_log_ratio(row, levels))
    return {pair: {turn: median(found) for turn, found in turns.items()} for pair, turns in runs.items()}


def _comparable(rows: Sequence[Measurement]) -> list[Measurement]:
    """What is left of runs when the machine they shared, its other work and the lengths they drew are taken off."""
    machines: dict[str, list[Measurement]] = defaultdict(list)
    places: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        machines[row.hardware.name].append(row)
        places[row.task_id].add(row.hardware.name)
    found: list[Measurement] = []
    for own in machines.values():
        crowded = slope([row for row in own if row.outcome == OK])
        named = [
            replace(row, task_id=row.task_id + _on_machine(row)) if len(places[row.task_id]) > 1 else row
            for row in own
        ]
        found += _as_long([_alone(row, crowded) for row in named])
    return found


def _on_machine(row: Measurement) -> str:
    """What the name of a task ends with that ran on other machines, too."""
    return f" on {row.hardware.name}"


def _alone(row: Measurement, crowded: float) -> Measurement:
    """A run as it would have been with nobody else on the machine."""
    return replace(row, cpu_secs=row.cpu_secs * exp(-crowded * crowding(row))) if crowded else row


def _as_long(rows: Sequence[Measurement]) -> Iterator[Measurement]:
    """Runs as if each had generated as many tokens as the median run of its turn: a model that samples stops where it
    stops, and a strategy is no quicker for having drawn a short answer. Decoding is taken as proportional to tokens.
    """
    of_turn: dict[TurnKey, list[int]] = defaultdict(list)
    for row in rows:
        if row.outcome == OK:
            of_turn[_turn(row)].append(row.generated_tokens)
    for row in rows:
        usual = median(of_turn[_turn(row)]) if row.outcome == OK else 0
        if not row.generated_tokens or row.generated_tokens == usual:
            yield row
            continue
        factor = 1 + row.decode_wall_secs / row.wall_secs * (usual / row.generated_tokens - 1)
        yield replace(row, cpu_secs=row.cpu_secs * factor, wall_secs=row.wall_secs * factor)


def seconds(row: Measurement) -> float:
    """What a run is judged by: processor time where an engine computes on a CPU, else the clock, because
    what computes there is no processor of this machine.
    """
    return row.cpu_secs if row.hardware.device == "cpu" else row.wall_secs


def _turn(row: Measurement) -> TurnKey:
    return row.task_id, row.block, row.repeat


def _log_ratio(row: Measurement, levels: Mapping[TurnKey, float]) -> float:
    return log(max(seconds(row), LEAST_SECS) / levels[_turn(row)])


def _levels(rows: Iterable[Measurement]) -> dict[TurnKey, float]:
    """How slow each turn was: the seconds that a typical strategy took in it.

    Not every strategy runs in every turn, so the level of a turn is not that of the strategies that happened to be in
    it: log seconds are taken as a turn's level plus a strategy's, fitted to all runs of a task together.
    """
    of_task: dict[str, dict[tuple[TurnKey, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.outcome == OK:
            of_task[row.task_id][_turn(row), row.strategy].append(log(max(seconds(row), LEAST_SECS)))
    levels: dict[TurnKey, float] = {}
    for runs in of_task.values():
        levels |= _fitted({key: median(found) for key, found in runs.items()})
    return levels


def _fitted(log_secs: Mapping[tuple[TurnKey, str], float]) -> dict[TurnKey, float]:
    """Turns' levels by least squares, runs far off counting less (Huber's weights); strategies' have median zero."""
    turns = sorted({turn for turn, _ in log_secs})
    names = sorted({name for _, name in log_secs})
    rows = np.zeros((len(log_secs), len(turns) + len(names)))
    for place, (turn, name) in enumerate(log_secs):
        rows[place, [turns.index(turn), len(turns) + names.index(name)]] = 1.0
    wanted = np.array(list(log_secs.values()))
    weights = np.ones(len(wanted))
    found: npt.NDArray[np.floating[Any]] = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        found = np.linalg.lstsq(rows * weights[:, None], wanted * weights, rcond=None)[0]
        off = np.abs(wanted - rows @ found)
        spread = max(deviation(off.tolist()), _LEAST_SPREAD)
        weights = np.sqrt(np.minimum(1.0, _FAR * spread / np.maximum(off, 1e-12)))
    middle = float(np.median(found[len(turns) :]))
    # Beyond six digits libraries differ, and whoever trains on a table should get the same bytes.
    return {turn: exp(round(float(found[place]) + middle, 6)) for place, turn in enumerate(turns)}


def doubt(rows: Sequence[Measurement]) -> float:
    """By how much the turns of one task disagree on a strategy (log): the spread of its ratios, of the strategy
    where it is widest. Nothing where a task had one turn, or took no time to speak of.
    """
    levels = {turn: level for turn, level in _levels(rows).items() if level >= LEAST_DOUBTED_SECS}
    ratios: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.outcome == OK and _turn(row) in levels:
            ratios[row.strategy].append(_log_ratio(row, levels))
    return max((max(found) - min(found) for found in ratios.values()), default=0.0)


def _cost(group: Sequence[Measurement], levels: dict[TurnKey, float]) -> Cost:
    first = group[0]
    good = [row for row in group if row.outcome == OK]
    total = None
    prefill_share = 0.0
    if good:
        scale = min(level for (task_id, *_), level in levels.items() if task_id == first.task_id)
        ratio = median(log(seconds(row) / levels[_turn(row)]) for row in good)
        total = max(scale * exp(ratio), LEAST_SECS)
        prefill_share = median(row.prefill_wall_secs / row.wall_secs for row in good)
    return Cost(
        task_id=first.task_id,
        work=first.task_id.removesuffix(_on_machine(first)),
        model_name=first.model_name,
        strategy=recorded_strategy(first),
        model=first.model,
        hardware=first.hardware,
        workload=first.workload,
        total_secs=total,
        prefill_secs=max((total or 0.0) * prefill_share, LEAST_SECS),
        decode_secs=max((total or 0.0) * (1 - prefill_share), LEAST_SECS),
        failed_ratio=1 - len(good) / len(group),
        family=first.family or first.workload.family,
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
