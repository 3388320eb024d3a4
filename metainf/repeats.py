"""How far noise lets anybody get: scores judged by repeats that no choice saw, and what a clairvoyant would score.

Of several alternatives that are about as good, a noisy table calls the luckiest the best, and whoever chose one of
its equals is charged the difference (the winner's curse). The oracle of `judge` pays nothing, for it sees the very
runs that it is judged by. So two figures stand beside the plain one, both made from the repeats of each task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from metainf.costs import TurnKey, log_ratios
from metainf.judge import Outcome, bootstrap_weights, interval
from metainf.problem import Floats
from metainf.table import Measurement

_SAMPLES = 200
_SEED = 0

Runs = Mapping[str, Mapping[str, Mapping[TurnKey, float]]]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One method, judged by runs that chose nothing. Of `tasks` tasks: the mean by which its choices undercut SBS's
    (`ahead_log`) and by which those of an oracle do that measured every alternative in the other half of the runs
    (`oracle_ahead_log`); their ratio with a 95 % bootstrap interval. Above 1 the method does better than measuring.
    """

    tasks: int
    ahead_log: float
    oracle_ahead_log: float
    gap_closed: float
    gap_closed_low: float
    gap_closed_high: float


def runs_of(rows: Sequence[Measurement]) -> Runs:
    """Log ratios to the level of the turn, by task, strategy and turn."""
    found: dict[str, dict[str, Mapping[TurnKey, float]]] = {}
    for (task_id, strategy), turns in sorted(log_ratios(rows).items()):
        found.setdefault(task_id, {})[strategy] = turns
    return found


def held_out(runs: Runs, method: Sequence[Outcome], sbs: Sequence[Outcome]) -> HeldOut:
    """A method against SBS and the oracle: each task's turns are dealt to two halves by turns, one to choose by for the
    oracle, the other to judge all three by, and then the other way round.

    Tasks are left out where one of the choices has no run in either half.
    """
    gained, clusters = [], []
    for outcome, of_sbs in zip(method, sbs, strict=True):
        halves = _halves(runs[outcome.task_id])
        if all(taken in half for taken in (outcome.taken, of_sbs.taken) for half in halves):
            gained.append([_gains(outcome.taken, of_sbs.taken, *order) for order in (halves, halves[::-1])])
            clusters.append(outcome.cluster)
    if not gained:
        return HeldOut(0, *[float("nan")] * 5)
    means: Floats = np.array(gained).mean(axis=1)
    ahead, oracle_ahead = means.mean(axis=0)
    drawn = bootstrap_weights(clusters) @ means
    low, high = interval(drawn[:, 0] / drawn[:, 1])
    return HeldOut(len(gained), ahead, oracle_ahead, ahead / oracle_ahead, low, high)


def _halves(of_task: Mapping[str, Mapping[TurnKey, float]]) -> tuple[Mapping[str, float], ...]:
    """What every strategy took in every other turn, and what in the turns between; only those that ran in both."""
    order = sorted({turn for turns in of_task.values() for turn in turns}, key=lambda turn: (turn[2], turn))
    sides = {turn: place % 2 for place, turn in enumerate(order)}
    halves = [
        {
            strategy: median(found)
            for strategy, turns in of_task.items()
            if (found := [ratio for turn, ratio in turns.items() if sides[turn] == side])
        }
        for side in (0, 1)
    ]
    both = halves[0].keys() & halves[1].keys()
    return tuple({strategy: half[strategy] for strategy in sorted(both)} for half in halves)


def _gains(
    taken: str, single: str, seen: Mapping[str, float], judged: Mapping[str, float]
) -> tuple[float, float]:
    """By how much what was taken, and what was best in the half that is seen, undercut the single best."""
    best = min(seen, key=lambda strategy: seen[strategy])
    return judged[single] - judged[taken], judged[single] - judged[best]


def clairvoyant_loss_log(runs: Runs) -> Floats:
    """For each task in order: what is charged on average to one who takes what is truly best, by runs as noisy as here.

    What was measured is taken for the truth (a bootstrap; that makes equals look less equal than they are, and so the
    loss less than it is), and each strategy is measured anew as often as it was, off by what runs of one strategy in
    one task were off by here.
    """
    errors = _errors(runs)
    rng = np.random.default_rng(_SEED)
    losses = []
    for of_task in runs.values():
        true = {strategy: median(turns.values()) for strategy, turns in of_task.items()}
        best = min(true, key=lambda strategy: true[strategy])
        anew = {
            strategy: true[strategy] + np.median(rng.choice(errors, size=(_SAMPLES, len(turns))), axis=1)
            for strategy, turns in of_task.items()
        }
        losses.append(float((anew[best] - np.min(list(anew.values()), axis=0)).mean()))
    return np.array(losses)


def _errors(runs: Runs) -> Floats:
    """Deviations of runs from the mean of their cell, of cells of two or more, widened for what the mean took up."""
    found = []
    for of_task in runs.values():
        for turns in of_task.values():
            count = len(turns)
            if count > 1:
                values = np.array(list(turns.values()))
                found.append((values - values.mean()) * np.sqrt(count / (count - 1)))
    return np.concatenate(found) if found else np.zeros(1)
