"""From the choices of a method to its score: slowdown, gap closed, regret, accuracy, with bootstrap intervals.

Definitions: slowdown is the geometric mean of cost over best cost, over tasks with two or more alternatives
that succeeded; gap closed (log) is 1 - log slowdown / log slowdown of SBS, gap closed (raw) is 1 - mean regret /
mean regret of SBS. Choosing an alternative that failed or was cut off counts as the dearest one of its task. No
restart is counted: every alternative is as near as any other.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from metainf.problem import Floats, Problem
from metainf.strategy import JsonValue

CONFIDENCE = 0.95
_RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method got on one task. Where it scored several alternatives equally, costs are expectations over
    them and `taken` is one of them by lot.

    `cluster` is what intervals are drawn over: the task's work, or the group it was left out with.
    `acceleration_log` is log(cost of the default / cost taken), NaN without a default.
    """

    task_id: str
    cluster: str
    taken: str
    best: str
    log_slowdown: float
    regret: float
    best_taken: float
    acceleration_log: float


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one split. Regret is cost minus best cost, in the unit of the costs; `*_low` and `*_high` are 95 %
    bootstrap intervals; `over_selector` is its slowdown over the selector's, paired by task.
    """

    tasks: int
    slowdown: float
    slowdown_low: float
    slowdown_high: float
    gap_closed_log: float
    gap_closed_log_low: float
    gap_closed_log_high: float
    gap_closed_raw: float
    mean_regret: float
    p95_regret: float
    top1_accuracy: float
    f1: float
    acceleration: float | None
    over_selector: float
    over_selector_low: float
    over_selector_high: float
    decision_ms: float

    def to_json(self) -> dict[str, JsonValue]:
        """Plain numbers."""
        return asdict(self)


def outcomes(test: Problem, scores: Floats, cluster_group: str | None, seed: int = 0) -> list[Outcome]:
    """What taking the lowest score of each task gave; NaN counts as infinite."""
    rng = np.random.default_rng(seed)
    judged = test.judged_costs()
    found = []
    for task_id, indices in test.tasks.items():
        of_task = np.where(np.isnan(scores[indices]), np.inf, scores[indices])
        tied = np.flatnonzero(of_task == of_task.min())
        costs = judged[indices]
        best = int(costs.argmin())
        names = [test.alternatives[index] for index in indices]
        default = float(costs[names.index(test.default)]) if test.default in names else float("nan")
        found.append(
            Outcome(
                task_id=task_id,
                cluster=(test.groups[cluster_group] if cluster_group else test.works)[indices[0]],
                taken=names[int(rng.choice(tied))],
                best=names[best],
                log_slowdown=float(np.log(costs[tied] / costs[best]).mean()),
                regret=float((costs[tied] - costs[best]).mean()),
                best_taken=float((costs[tied] == costs[best]).mean()),
                acceleration_log=float(np.log(default / costs[tied]).mean()),
            )
        )
    return found


def score(
    of_method: Sequence[Outcome],
    of_sbs: Sequence[Outcome],
    of_selector: Sequence[Outcome],
    decision_ms: float,
) -> Score:
    """The score of a method's outcomes, all three over the same tasks in the same order."""
    logs, sbs_logs, selector_logs = (_logs(found) for found in (of_method, of_sbs, of_selector))
    draws = bootstrap_weights([outcome.cluster for outcome in of_method])
    slowdown_low, slowdown_high = np.exp(interval(draws @ logs))
    sbs_draws = draws @ sbs_logs
    gaps = 1 - (draws @ logs)[sbs_draws > 0] / sbs_draws[sbs_draws > 0]
    gap_low, gap_high = interval(gaps) if len(gaps) else (0.0, 0.0)
    over_low, over_high = np.exp(interval(draws @ (logs - selector_logs)))
    regrets = np.array([outcome.regret for outcome in of_method])
    sbs_regret = float(np.mean([outcome.regret for outcome in of_sbs]))
    accelerations = np.array([outcome.acceleration_log for outcome in of_method])
    accelerated = accelerations[np.isfinite(accelerations)]
    return Score(
        tasks=len(of_method),
        slowdown=float(np.exp(logs.mean())),
        slowdown_low=float(slowdown_low),
        slowdown_high=float(slowdown_high),
        gap_closed_log=float(1 - logs.mean() / sbs_logs.mean()) if sbs_logs.mean() > 0 else 0.0,
        gap_closed_log_low=float(gap_low),
        gap_closed_log_high=float(gap_high),
        gap_closed_raw=float(1 - regrets.mean() / sbs_regret) if sbs_regret > 0 else 0.0,
        mean_regret=float(regrets.mean()),
        p95_regret=float(np.quantile(regrets, 0.95)),
        top1_accuracy=float(np.mean([outcome.best_taken for outcome in of_method])),
        f1=_macro_f1(of_method),
        acceleration=float(np.exp(accelerated.mean())) if len(accelerated) else None,
        over_selector=float(np.exp((logs - selector_logs).mean())),
        over_selector_low=float(over_low),
        over_selector_high=float(over_high),
        decision_ms=decision_ms,
    )


def _logs(found: Sequence[Outcome]) -> Floats:
    return np.array([outcome.log_slowdown for outcome in found])


def bootstrap_weights(clusters: Sequence[str]) -> Floats:
    """Bootstrap weights, resamples x tasks, each row of sum 1: whole clusters are drawn with replacement."""
    labels, member = np.unique(np.array(clusters), return_inverse=True)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=_RESAMPLES)
    weights = drawn[:, member].astype(np.float64)
    normed: Floats = weights / weights.sum(axis=1, keepdims=True)
    return normed


def interval(means: Floats) -> Floats:
    tail = (1 - CONFIDENCE) / 2
    return np.asarray(np.quantile(means, [tail, 1 - tail]), dtype=np.float64)


def _macro_f1(found: Sequence[Outcome]) -> float:
    """F1 of naming the best alternative, averaged over the alternatives that are best or taken somewhere."""
    scores = []
    for name in sorted({outcome.best for outcome in found} | {outcome.taken for outcome in found}):
        right = sum(outcome.best == name == outcome.taken for outcome in found)
        named = sum(outcome.taken == name for outcome in found)
        true = sum(outcome.best == name for outcome in found)
        scores.append(2 * right / (named + true))
    return float(np.mean(scores))
