"""What the jobs so far would have saved under a strategy whose engine was not up: rent paid for want of buying.

Nobody knows how many jobs are to come, so a start is weighed against those that came: it is due once they have gone
without it for as much as it costs (ski rental; Karlin, Manasse, Rudolph and Sleator, 1988). With two strategies and
room for both, the total is then at most twice what foresight would have cost. Where an engine must be let go for
another, a job that is better off with the old one counts against the new one, down to nothing: the work function of a
metrical task system (Borodin, Linial and Saks, 1992), at most three times foresight for two strategies.
"""

from collections.abc import Collection, Sequence

from metainf.choice import Prediction, SelectionState
from metainf.rule import run_secs, start_secs


def foregone_after(
    state: SelectionState,
    predictions: Sequence[Prediction],
    taken: str,
    up: Collection[str],
    leaving: Collection[str] = (),
) -> dict[str, float]:
    """`state.foregone_secs` for the next choice, once a job is run under `taken`.

    `state` and `predictions` are of the choice, `up` names the engines that are up now, `taken` among them, and
    `leaving` those of them that a further start would end, if any. No strategy is credited with more than its start,
    and no second pays for two starts: what paid for this one is taken off all others.
    """
    before = state.foregone_secs
    spent = 0.0 if taken in (state.running, *state.resident) else before.get(taken, 0.0)
    secs = {each.strategy: run_secs(each) for each in predictions}
    most = {each.strategy: start_secs(each) for each in predictions}
    served = min(secs[name] for name in up if name in secs)
    left = min((secs[name] for name in up if name in secs and name not in leaving), default=float("inf"))
    after = {}
    for name in sorted({*before, *secs} - set(up)):
        saved = served - min(left, secs[name]) if name in secs else 0.0
        credit = max(0.0, before.get(name, 0.0) - spent + saved)
        after[name] = float(f"{min(credit, most.get(name, credit)):.6g}")
    return {name: credit for name, credit in after.items() if credit > 0}
