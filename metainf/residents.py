"""Which engines to keep up over a stream of jobs: what ways of choosing cost with starts, and the best that could be.

So many engines may be up at a time. To take a strategy whose engine is up costs its job; to take another costs its
start as well, and where there is no room the one unused for longest is let go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def kept(up: tuple[int, ...], taken: int, room: int) -> tuple[int, ...]:
    """The strategies whose engines are up once `taken` runs, the latest used last."""
    return (*(each for each in up if each != taken), taken)[-room:]


@dataclass(frozen=True, slots=True)
class Spent:
    """Where the seconds of a stream went. `least_run_secs` is what the jobs would have taken, each on the best of the
    engines that were up for it.
    """

    starts: int
    start_secs: float
    run_secs: float
    least_run_secs: float

    @property
    def total_secs(self) -> float:
        return self.start_secs + self.run_secs


def spent(secs: Floats, starts: Floats, taken: Sequence[int], room: int) -> Spent:
    """What a sequence of strategies costs, from no engine at all; `secs` are jobs x strategies."""
    up: tuple[int, ...] = ()
    count, start_secs, run_secs, least_run_secs = 0, 0.0, 0.0, 0.0
    for row, strategy in zip(secs, taken, strict=True):
        if strategy not in up:
            count += 1
            start_secs += float(starts[strategy])
        up = kept(up, strategy, room)
        run_secs += float(row[strategy])
        least_run_secs += float(row[list(up)].min())
    return Spent(count, start_secs, run_secs, least_run_secs)


def least_spent(secs: Floats, starts: Floats, room: int) -> Spent:
    """The least total there is: dynamic programming over sets of engines, which may be let go as foresight has it."""
    strategies = range(secs.shape[1])
    # By set of engines: total seconds, those of starts among them, and starts.
    least: dict[frozenset[int], tuple[float, float, int]] = {frozenset(): (0.0, 0.0, 0)}
    for row in secs:
        reached: dict[frozenset[int], tuple[float, float, int]] = {}
        for up, (total, start_secs, count) in least.items():
            for strategy in strategies:
                due, further = (0.0, 0) if strategy in up else (float(starts[strategy]), 1)
                cost = total + float(row[strategy]) + due, start_secs + due, count + further
                for after in _after(up, strategy, room):
                    if after not in reached or cost < reached[after]:
                        reached[after] = cost
        least = reached
    total, start_secs, count = min(least.values(), default=(0.0, 0.0, 0))
    return Spent(count, start_secs, total - start_secs, total - start_secs)


def _after(up: frozenset[int], strategy: int, room: int) -> list[frozenset[int]]:
    """What may be up once a strategy runs: letting go more than is needed gains nothing."""
    if strategy in up:
        return [up]
    if len(up) < room:
        return [up | {strategy}]
    return [frozenset(rest) | {strategy} for rest in combinations(sorted(up), room - 1)]
