"""Which strategies of a task are worth running again: a race (Maron and Moore, Hoeffding Races, 1994)."""

from collections import Counter
from collections.abc import Sequence
from math import inf, sqrt
from statistics import median

from metainf.costs import log_ratios
from metainf.table import Measurement

# Over the root of its runs: how far (log) a strategy may trail the best and yet be the best. A run is off by about 0.1,
# a few are off by several times that, and a strategy that is dropped for two of these seldom comes back.
TRAILING = 0.4
# The same of one that ran once: a machine that stalled in that moment is no reason to drop it.
TRAILING_ONCE = 1.0
# Of fewer runs the quickest counts, for no median sets a disturbed one aside.
FEW = 3


def contenders(rows: Sequence[Measurement], most: int) -> frozenset[str]:
    """Digests of the strategies that may be the best of a task; none once each ran `most` times.

    `rows` are all its runs under the strategies that race. One that trails by more than so few runs may be off by is
    out, and comes back if the leader turns out to be slower.
    """
    digests = {row.strategy: row.strategy_digest for row in rows}
    runs = Counter(row.strategy_digest for row in rows)
    found = {digests[name]: list(turns.values()) for (_, name), turns in log_ratios(rows).items()}
    least = min(map(median, found.values()), default=inf)
    near = frozenset(digest for digest, ratios in found.items() if _may_lead(ratios, least))
    return near if any(runs[digest] < most for digest in near) else frozenset()


def _may_lead(ratios: Sequence[float], least: float) -> bool:
    if len(ratios) == 1:
        return ratios[0] <= least + TRAILING_ONCE
    took = min(ratios) if len(ratios) < FEW else median(ratios)
    return took <= least + TRAILING / sqrt(len(ratios))
