"""What waiting for a processor adds to a run's processor seconds.

A run beside other work takes more of them: caches are cold after each switch, and the other half of a core is not
its own. How much of the clock went by without the process computing tells how crowded it was. How much that costs is
learned from the table itself, from runs of one strategy on one task, and taken off.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metainf.table import Measurement

Floats = npt.NDArray[np.float64]

# Fewer runs beyond one for each pair and turn say nothing.
LEAST_RUNS = 100
# More than this would be no disturbance but another machine.
MOST_SLOPE = 0.5
_ROUNDS = 30


def crowding(row: Measurement) -> float:
    """Log of clock over processor seconds, 0 where nobody else was there. Only a CPU's engine competes for one."""
    if row.hardware.device != "cpu" or row.cpu_secs <= 0:
        return 0.0
    return float(np.log(max(row.wall_secs / row.cpu_secs, 1.0)))


def slope(rows: Sequence[Measurement]) -> float:
    """By how much log processor seconds grow with crowding, over good runs; 0 where too few runs tell.

    Least squares within each pair of task and strategy and each turn, so that neither what is slow by itself nor a
    machine that is slow for a while counts as crowding. Four digits.
    """
    measured = [row for row in rows if row.hardware.device == "cpu" and row.cpu_secs > 0]
    pairs = _numbered([f"{row.task_id}\0{row.strategy}" for row in measured])
    turns = _numbered([f"{row.task_id}\0{row.block}\0{row.repeat}" for row in measured])
    if len(measured) - len(set(pairs.tolist())) - len(set(turns.tolist())) < LEAST_RUNS:
        return 0.0
    crowded = _within(np.array([crowding(row) for row in measured]), pairs, turns)
    slowed = _within(np.log([row.cpu_secs for row in measured]), pairs, turns)
    varied = float(crowded @ crowded)
    found = float(crowded @ slowed) / varied if varied > 0 else 0.0
    return round(min(max(found, 0.0), MOST_SLOPE), 4)


def _numbered(labels: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.unique(np.array(labels, dtype=str), return_inverse=True)[1].astype(np.int64)


def _within(values: Floats, *groups: npt.NDArray[np.int64]) -> Floats:
    """Values less the means of every grouping, in turns until they settle."""
    left = values.astype(np.float64)
    for _ in range(_ROUNDS):
        for group in groups:
            left = left - (np.bincount(group, left) / np.bincount(group))[group]
    return left
