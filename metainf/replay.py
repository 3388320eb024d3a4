"""A stream of jobs replayed from measured tasks, with a model or a machine nobody has seen arriving in the middle.

Four selectors go through the same stream. Each sees only the cost of what it took. `frozen` was trained without the
newcomer and never learns; `online` is the same, but corrects itself after each job and retrains every few jobs, with
a challenger that must beat the champion; `informed` was trained on the newcomer's
other tasks, each task left out in turn; `SBS` always takes the single best alternative of what was known before.
Regret is log(cost taken / best cost), so that long jobs do not drown short ones.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log1p

import numpy as np

from metainf.alike import Place, strategy_place, workload_place
from metainf.baselines.fixed import SingleBest
from metainf.corrector import REMEMBERED_JOBS, Corrector
from metainf.errors import BadGroup
from metainf.learner import Learned
from metainf.online import Residual, corrected, judge
from metainf.problem import Floats, Problem
from protocol.digest import JsonValue

FROZEN, ONLINE, INFORMED, SINGLE = "frozen", "online", "informed", "SBS"
NOISE = 0.03
RETRAIN_EVERY = 40
# Of the jobs seen, the latest that a challenger is judged on.
JUDGED_JOBS = 20
JOBS_BEFORE, JOBS_AFTER = 60, 100
GOAL_AFTER_JOBS = 20
_SEED = 0
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Replayed:
    """`regret` by selector has one value for each job of the stream, averaged over the rounds; the newcomer arrives at
    job `arrives`.
    """

    newcomer: str
    arrives: int
    regret: Mapping[str, Floats]
    retrained: float
    promoted: float

    def mean_after(self, name: str, jobs: int = GOAL_AFTER_JOBS) -> float:
        """Mean regret a job once the newcomer has been there for so many jobs."""
        return float(self.regret[name][self.arrives + jobs :].mean())

    @property
    def ratio(self) -> float:
        """Online over informed, after the first jobs; 1 where neither has any."""
        informed, online = self.mean_after(INFORMED), self.mean_after(ONLINE)
        return online / informed if informed > 0 else 1.0 if online == 0 else float("inf")

    def to_json(self) -> dict[str, JsonValue]:
        """Figures and curves."""
        return {
            "newcomer": self.newcomer,
            "arrives": self.arrives,
            "ratio_informed": self.ratio,
            "mean_regret_log": {name: self.mean_after(name) for name in self.regret},
            "cumulative_regret_log": {name: np.cumsum(of).tolist() for name, of in self.regret.items()},
            "retrained": self.retrained,
            "promoted": self.promoted,
        }


def members(problem: Problem, group: str) -> tuple[str, ...]:
    """What may be the newcomer. Raises `BadGroup`."""
    if group not in problem.groups or len(set(problem.groups[group])) < 2:
        raise BadGroup(group, tuple(name for name, of in problem.groups.items() if len(set(of)) > 1))
    return tuple(sorted(set(problem.groups[group])))


def replay(problem: Problem, group: str, newcomer: str, rounds: int = 3) -> Replayed:
    """Jobs of all others, then the newcomer's."""
    if newcomer not in members(problem, group):
        raise BadGroup(f"{group} {newcomer}", members(problem, group))
    contested = problem.contested()
    is_new = np.array(contested.groups[group]) == newcomer
    known, new = contested.take(~is_new), contested.take(is_new)
    base = Learned().fit(known)
    ranking = SingleBest().fit(known)
    of_known = base.predict(known)
    said = {
        FROZEN: (of_known, base.predict(new)),
        INFORMED: (of_known, _left_out_predictions(contested, new)),
        SINGLE: (ranking.predict(known), ranking.predict(new)),
    }
    places = _places(contested)
    regrets: dict[str, list[Floats]] = {name: [] for name in (FROZEN, ONLINE, INFORMED, SINGLE)}
    retrained = promoted = 0
    for place in range(rounds):
        rng = np.random.default_rng(_SEED + place)
        online = _Online(known, base, base, places)
        taken: dict[str, list[float]] = {name: [] for name in regrets}
        for job in _stream(known, new, rng):
            tasks = new if job.is_new else known
            costs = tasks.judged_costs()[job.indices]
            for name, scores in said.items():
                taken[name].append(_regret(costs, int(scores[job.is_new][job.indices].argmin())))
            index = online.take(tasks, job.indices)
            taken[ONLINE].append(_regret(costs, index))
            online.learn(tasks, job.indices, index, rng)
        for name, found in taken.items():
            regrets[name].append(np.array(found))
        retrained, promoted = retrained + online.retrained, promoted + online.promoted
    return Replayed(
        newcomer,
        JOBS_BEFORE,
        {name: np.mean(found, axis=0) for name, found in regrets.items()},
        retrained / rounds,
        promoted / rounds,
    )


def _regret(costs: Floats, index: int) -> float:
    return float(np.log(costs[index] / costs.min()))


def _left_out_predictions(problem: Problem, new: Problem) -> Floats:
    """For the newcomer's pairs, by models that saw everything but the task."""
    place = {pair: index for index, pair in enumerate(zip(new.task_ids, new.alternatives, strict=True))}
    predicted = np.full(len(new.task_ids), np.nan)
    folds = problem.task_folds(_FOLDS)
    for fold in np.unique(folds):
        test = problem.take(folds == fold)
        scores = Learned().fit(problem.take(folds != fold)).predict(test)
        for pair, score in zip(zip(test.task_ids, test.alternatives, strict=True), scores, strict=True):
            if pair in place:
                predicted[place[pair]] = score
    return predicted


@dataclass(frozen=True, slots=True)
class _Job:
    is_new: bool
    indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def _stream(known: Problem, new: Problem, rng: np.random.Generator) -> list[_Job]:
    """Tasks drawn with replacement."""

    def drawn(tasks: Problem, *, is_new: bool) -> _Job:
        every = list(tasks.tasks.values())
        return _Job(is_new, every[int(rng.integers(len(every)))])

    before = [drawn(known, is_new=False) for _ in range(JOBS_BEFORE)]
    return before + [drawn(new, is_new=True) for _ in range(JOBS_AFTER)]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A job that ran: all alternatives of its task, the place of the one taken, and what that cost."""

    of_task: Problem
    place: int
    cost: float

    @property
    def pair(self) -> Problem:
        return _only(self.of_task, np.array([self.place]))


# Of a task and an alternative: where they stand among others.
_Places = Mapping[tuple[str, str], tuple[Place, Place]]


@dataclass
class _Online:
    """The learner that goes on learning."""

    known: Problem
    base: Learned
    champion: Learned
    places: _Places
    retrained: int = 0
    promoted: int = 0
    _seen: list[_Seen] = field(default_factory=list)
    _residuals: list[Residual] = field(default_factory=list)

    def take(self, tasks: Problem, indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int:
        """Place of the alternative taken among those of the task: the least corrected prediction, optimism included."""
        of_task = _only(tasks, indices)
        family, task_id = _family(of_task, 0), of_task.task_ids[0]
        corrector = Corrector.of(each for each in self._residuals if each.model_family == family)
        strategies = {name: self.places[task_id, name][1] for name in of_task.alternatives}
        workload = self.places[task_id, of_task.alternatives[0]][0]
        corrections = corrector.corrections(workload, strategies)
        predicted = self.champion.predict(of_task).tolist()
        scores = [
            corrected(score, name, corrections.log) + log1p(-corrections.optimism_ratio.get(name, 0.0))
            for score, name in zip(predicted, of_task.alternatives, strict=True)
        ]
        return int(np.argmin(scores))

    def learn(
        self,
        tasks: Problem,
        indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
        place: int,
        rng: np.random.Generator,
    ) -> None:
        """Take in the measured cost of the alternative taken; now and then retrain."""
        cost = float(tasks.judged_costs()[indices[place]] * np.exp(rng.normal(0, NOISE)))
        job = _Seen(_only(tasks, indices), place, cost)
        self._seen.append(job)
        self._residuals.append(self._residual(job, len(self._residuals)))
        if len(self._seen) % RETRAIN_EVERY == 0 and len(self._seen) >= JUDGED_JOBS + RETRAIN_EVERY:
            self._challenge()

    def _residual(self, job: _Seen, at: int) -> Residual:
        pair = job.pair
        workload, settings = self.places[pair.task_ids[0], pair.alternatives[0]]
        error = _error(self.champion, job)
        return Residual("", _family(pair, 0), pair.alternatives[0], "", error, float(at), workload, settings)

    def _challenge(self) -> None:
        """A challenger that has learned from all but the latest jobs; if it is better on these than the champion with
        its corrections, one that has learned from all takes over.
        """
        self.retrained += 1
        older, latest = self._seen[:-JUDGED_JOBS], self._seen[-JUDGED_JOBS:]
        challenger = Learned().fit(_with(self.known, older, self.base))
        if judge(self._champion_errors(), [_error(challenger, job) for job in latest]).promoted:
            self.promoted += 1
            self.champion = Learned().fit(_with(self.known, self._seen, self.base))
            # What it was off by before it knew is no correction of what it says now; it starts from its own errors.
            recent = self._seen[-REMEMBERED_JOBS:]
            self._residuals = [self._residual(job, at) for at, job in enumerate(recent)]

    def _champion_errors(self) -> list[float]:
        """On the latest jobs, as the older ones correct them."""
        older, latest = self._residuals[:-JUDGED_JOBS], self._residuals[-JUDGED_JOBS:]
        correctors = {
            family: Corrector.of(each for each in older if each.model_family == family)
            for family in {each.model_family for each in latest}
        }
        return [each.log_ratio - correctors[each.model_family].mean(each) for each in latest]


def _places(problem: Problem) -> _Places:
    """By the names of features where they are those of measurements; else columns are brought to one scale."""
    names, rows = problem.feature_names, np.asarray(problem.rows, dtype=np.float64)
    if not any(name.startswith("workload_") for name in names):
        kinds = ("workload" if each in problem.task_columns else "strategy" for each in range(rows.shape[1]))
        names = tuple(f"{kind}_{place}" for place, kind in enumerate(kinds))
        spread = np.nanstd(rows, axis=0)
        rows = np.nan_to_num(rows / np.where(spread > 0, spread, 1.0))
    found = {}
    for task_id, alternative, row in zip(problem.task_ids, problem.alternatives, rows.tolist(), strict=True):
        named = dict(zip(names, row, strict=True))
        found[task_id, alternative] = workload_place(named), strategy_place(named)
    return found


def _error(learner: Learned, job: _Seen) -> float:
    return float(np.log(job.cost) - learner.predict(job.pair)[0])


def _family(problem: Problem, index: int) -> str:
    return "/".join(of[index] for name, of in sorted(problem.groups.items()) if name in ("model", "hardware"))


def _only(problem: Problem, indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Problem:
    """Some pairs, in the order of the indices."""
    chosen = np.zeros(len(problem.task_ids), dtype=bool)
    chosen[indices] = True
    taken = problem.take(chosen)
    order = np.argsort(np.argsort(indices))
    return taken if (np.diff(order) > 0).all() else _reordered(taken, order)


def _reordered(problem: Problem, order: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Problem:
    return replace(
        problem,
        task_ids=tuple(problem.task_ids[i] for i in order),
        alternatives=tuple(problem.alternatives[i] for i in order),
        costs=problem.costs[order],
        log_targets=problem.log_targets[order],
        rows=problem.rows[order],
        offset_log=problem.offset_log[order],
        groups={name: tuple(of[i] for i in order) for name, of in problem.groups.items()},
        cut_offs=None if problem.cut_offs is None else problem.cut_offs[order],
        works=tuple(problem.works[i] for i in order),
    )


def _with(known: Problem, seen: Sequence[_Seen], base: Learned) -> Problem:
    """The known pairs and the tasks seen since."""
    tasks: dict[str, list[_Seen]] = defaultdict(list)
    for job in seen:
        tasks[job.of_task.task_ids[0]].append(job)
    learned = [_learned_from(jobs, base, f"job {place}") for place, jobs in enumerate(tasks.values())]
    every = (known, *learned)
    return replace(
        known,
        task_ids=tuple(name for each in every for name in each.task_ids),
        alternatives=tuple(name for each in every for name in each.alternatives),
        costs=np.concatenate([each.costs for each in every]),
        log_targets=np.concatenate([each.log_targets for each in every]),
        rows=np.concatenate([each.rows for each in every]),
        offset_log=np.concatenate([each.offset_log for each in every]),
        groups={name: tuple(label for each in every for label in each.groups[name]) for name in known.groups},
        cut_offs=None,
        works=tuple(work for each in every for work in each.works),
    )


def _learned_from(jobs: Sequence[_Seen], base: Learned, name: str) -> Problem:
    """A task as far as its jobs tell: what was taken at what it cost, the others where the base model put them,
    moved as much as it was off. So a task that costs more than thought does not make dearer only what was tried.
    """
    of_task = jobs[0].of_task
    said = base.predict(of_task)
    costs: dict[int, list[float]] = defaultdict(list)
    for job in jobs:
        costs[job.place].append(float(np.log(job.cost)))
    totals = said + float(np.mean([np.mean(found) - said[place] for place, found in costs.items()]))
    for place, found in costs.items():
        totals[place] = np.mean(found)
    taken = jobs[-1].place
    shares = of_task.log_targets[taken] - of_task.log_targets[taken, -1]
    shares = np.where(np.isfinite(shares), shares, 0.0)
    return replace(
        of_task,
        task_ids=(name,) * len(totals),
        costs=np.exp(totals),
        log_targets=totals[:, None] + shares[None, :],
        cut_offs=None,
    )
