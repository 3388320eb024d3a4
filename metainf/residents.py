"""Which engines to keep up over a stream of jobs: what ways of choosing cost with starts, and the best that could be.

So many engines may be up at a time. To take a strategy whose engine is up costs its job; to take another costs its
start as well, and where there is no room the one unused for longest is let go.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def kept(up: tuple[int, ...], taken: int, room: int) -> tuple[int, ...]:
    """The strategies whose engines are up once `taken` runs, the latest used last."""
    return (*(each for each in up if each != taken), taken)[-room:]


def total_secs(secs: Floats, starts: Floats, taken: Sequence[int], room: int) -> float:
    """What a sequence of strategies costs, from no engine at all; `secs` are jobs x strategies."""
    up: tuple[int, ...] = ()
    total = 0.0
    for job, strategy in enumerate(taken):
        total += float(secs[job, strategy]) + (0.0 if strategy in up else float(starts[strategy]))
        up = kept(up, strategy, room)
    return total


def best_secs(secs: Floats, starts: Floats, room: int) -> float:
    """The least total there is: dynamic programming over sets of engines, which may be let go as foresight has it."""
    strategies = range(secs.shape[1])
    least: dict[frozenset[int], float] = {frozenset(): 0.0}
    for row in secs:
        reached: dict[frozenset[int], float] = {}
        for up, so_far in least.items():
            for strategy in strategies:
                cost = so_far + float(row[strategy]) + (0.0 if strategy in up else float(starts[strategy]))
                for after in _after(up, strategy, room):
                    if cost < reached.get(after, np.inf):
                        reached[after] = cost
        least = reached
    return min(least.values(), default=0.0)


def _after(up: frozenset[int], strategy: int, room: int) -> list[frozenset[int]]:
    """What may be up once a strategy runs: letting go more than is needed gains nothing."""
    if strategy in up:
        return [up]
    if len(up) < room:
        return [up | {strategy}]
    return [frozenset(rest) | {strategy} for rest in combinations(sorted(up), room - 1)]
