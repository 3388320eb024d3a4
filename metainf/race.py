"""Which strategies of a task are worth running again: a race (Maron and Moore, Hoeffding Races, 1994)."""

from collections import Counter
from collections.abc import Sequence
from math import exp, sqrt

from metainf.costs import costs
from metainf.table import Measurement

# Over the root of its runs: how far (log) a strategy may trail the best and yet be the best. A run is off by about 0.1,
# a few are off by several times that, and a strategy that is dropped for one of these seldom comes back.
TRAILING = 0.4


def contenders(rows: Sequence[Measurement], most: int) -> frozenset[str]:
    """Digests of the strategies that may be the best of a task; none once each ran `most` times.

    `rows` are all its runs under the strategies that race. One that trails by more than so few runs may be off by is
    out, and comes back if the leader turns out to be slower.
    """
    runs = Counter(row.strategy_digest for row in rows)
    secs = {cost.strategy.digest(): cost.total_secs for cost in costs(rows) if cost.total_secs is not None}
    least = min(secs.values(), default=0.0)
    near = frozenset(
        digest for digest, took in secs.items() if took <= least * exp(TRAILING / sqrt(runs[digest]))
    )
    return near if any(runs[digest] < most for digest in near) else frozenset()
