"""What choices cost when changing them costs an engine start: a stream of jobs, replayed from measured tasks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from metainf.baselines.fixed import SingleBest
from metainf.learner import Learned
from metainf.problem import RANDOM, Floats, Problem, splits

_SEED = 0


def costs_net_of_restarts(
    problem: Problem, start_secs: Mapping[str, float], jobs: Sequence[int], rounds: int = 20
) -> dict[int, dict[str, float]]:
    """Total seconds over those of an oracle that knows every cost and every start: for each number of jobs, by way
    of choosing.

    Every task comes once a round as so many jobs in a row, in an order drawn anew each round; the first start is free.
    Predictions are of models that never saw the task. Tasks that lack a cost of some alternative are left out.
    """
    names = tuple(sorted(set(problem.alternatives)))
    actual, predicted, ranking = _tables(problem, names)
    starts = np.array([start_secs[name] for name in names])
    fixed = {"SBS": int(ranking.argmin())}
    if problem.default is not None:
        fixed["vLLM default"] = names.index(problem.default)
    return {count: _replayed(count * actual, count * predicted, starts, fixed, rounds) for count in jobs}


def _replayed(
    actual: Floats, predicted: Floats, starts: Floats, fixed: Mapping[str, int], rounds: int
) -> dict[str, float]:
    rng = np.random.default_rng(_SEED)
    oracle, totals = 0.0, defaultdict[str, float](float)
    for _ in range(rounds):
        order = rng.permutation(len(actual))
        true, expected = actual[order], predicted[order]
        oracle += _total(true, starts, _path(true, starts))
        totals["selector, weighing starts"] += _total(true, starts, _weighing(expected, starts))
        totals["selector, blind to starts"] += _total(true, starts, expected.argmin(axis=1).tolist())
        for name, place in fixed.items():
            totals[name] += _total(true, starts, [place] * len(true))
    return {way: total / oracle for way, total in totals.items()}


def _tables(problem: Problem, names: Sequence[str]) -> tuple[Floats, Floats, Floats]:
    """Actual and predicted seconds, tasks x alternatives, and the ranking of the alternatives."""
    actual, predicted = [], []
    for fold in splits(problem)[RANDOM]:
        scores = np.exp(Learned().fit(fold.train).predict(fold.test.without_costs()))
        for indices in fold.test.tasks.values():
            place = {fold.test.alternatives[index]: index for index in indices}
            if all(name in place and np.isfinite(fold.test.costs[place[name]]) for name in names):
                columns = [place[name] for name in names]
                actual.append(fold.test.costs[columns])
                predicted.append(scores[columns])
    ranked = SingleBest().fit(problem)
    of_pair = dict(zip(problem.alternatives, ranked.predict(problem).tolist(), strict=True))
    return np.array(actual), np.array(predicted), np.array([of_pair[name] for name in names])


def _weighing(expected: Floats, starts: Floats) -> list[int]:
    """Each time the least expected cost, with the start of what does not run."""
    taken: list[int] = []
    for costs in expected:
        due = starts.copy()
        if taken:
            due[taken[-1]] = 0.0
        else:
            due[:] = 0.0
        taken.append(int((costs + due).argmin()))
    return taken


def _path(costs: Floats, starts: Floats) -> list[int]:
    """The cheapest sequence by dynamic programming (Viterbi): stay, or pay the start of another."""
    best, came_from = costs[0].copy(), []
    for row in costs[1:]:
        cheapest = int(best.argmin())
        moved = best[cheapest] + starts
        came_from.append(np.where(best <= moved, np.arange(len(best)), cheapest))
        best = np.minimum(best, moved) + row
    taken = [int(best.argmin())]
    for pointers in reversed(came_from):
        taken.append(int(pointers[taken[-1]]))
    return taken[::-1]


def _total(costs: Floats, starts: Floats, taken: Sequence[int]) -> float:
    run = sum(float(costs[job, name]) for job, name in enumerate(taken))
    changes = [name for before, name in pairwise(taken) if name != before]
    return run + sum(float(starts[name]) for name in changes)
