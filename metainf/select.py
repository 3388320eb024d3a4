"""Choosing a strategy: drop what cannot run, predict, weigh restarts, keep to limits, say why.

Deterministic: the same facts, state, candidates and meta-model give the same choice on every machine, so
that an auditor can replay it from the record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from metainf.catalogue import DEFAULT_NAME, catalogue
from metainf.choice import Choice, Prediction, SelectionRecord, SelectionState
from metainf.errors import MetaModelMissing, NothingFeasible, RecordUnreadable, StrategyUnknown
from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.feasible import obstacle
from metainf.features import Planner, Settings, plan_features, strategy_features, task_features
from metainf.learner import margin
from metainf.model import SHIPPED, MetaModel
from metainf.strategy import Strategy

# A smaller chance of failing is less than tables of this size can tell.
LEAST_FAILURE = 0.01

FASTEST = "SELECT-001"
KEPT_RUNNING = "SELECT-002"
DEFAULT_AS_GOOD = "SELECT-003"
ONLY_ONE = "SELECT-004"
NO_BOUND_FITS = "SELECT-005"


@dataclass(frozen=True, slots=True)
class _Candidate:
    strategy: Strategy
    settings: Settings
    features: Mapping[str, float]
    digest: str


class Selector:
    """Chooses among strategies with one meta-model; immutable and safe to share between threads."""

    def __init__(self, meta_model: MetaModel) -> None:
        self.meta_model_digest = meta_model.digest()
        self._spreads = dict(meta_model.spreads_log)
        self._start_secs = dict(meta_model.start_secs)
        self._in_order = itemgetter(*meta_model.feature_names)
        self._predictor = meta_model.predictor()
        version = meta_model.provenance.get("vllm_version")
        self._vllm_version = version if isinstance(version, str) else ""
        self._prepared: dict[Strategy, _Candidate] = {}

    @classmethod
    def load(cls, path: Path | None = None) -> "Selector":
        """With the shipped meta-model, or the one in a file. Raises `MetaModelUnreadable`."""
        return cls(MetaModel.load(path or SHIPPED))

    def select(
        self,
        model: ModelFacts,
        hardware: HardwareFacts,
        workload: Workload,
        state: SelectionState,
        strategies: Sequence[Strategy] | None = None,
    ) -> Choice:
        """Take the strategy with the least expected seconds, restart included, among those that can
        run.

        `strategies` are the catalogue of the meta-model's vLLM version by default. Raises
        `StrategyUnknown` for an allowed name that is no candidate and `NothingFeasible` when every
        candidate has an obstacle.
        """
        offered = self._offered(hardware, state, strategies)
        feasible, obstacles = [], []
        for candidate in offered:
            why_not = obstacle(model, hardware, workload, candidate.settings)
            if why_not is None:
                feasible.append(candidate)
            else:
                obstacles.append(f"{candidate.strategy.name}: {why_not}")
        if not feasible:
            raise NothingFeasible(tuple(obstacles))
        predictions = self._predict(model, hardware, workload, state, feasible)
        index, reason_code, reason = decide(predictions, state, self._spreads)
        chosen = feasible[index]
        record = SelectionRecord(
            model=model,
            hardware=hardware,
            workload=workload,
            state=state,
            candidates=tuple((candidate.strategy.name, candidate.digest) for candidate in offered),
            meta_model_digest=self.meta_model_digest,
            predictions=predictions,
            chosen=chosen.strategy.name,
            chosen_digest=chosen.digest,
            reason_code=reason_code,
        )
        return Choice(chosen.strategy, predictions, reason_code, reason, record)

    def replay(self, record: SelectionRecord, strategies: Sequence[Strategy] | None = None) -> Choice:
        """Make a recorded choice again; compare `choice.record` with `record` to check it.

        Raises `MetaModelMissing` if it was made with another meta-model, `StrategyUnknown` if a recorded
        candidate is not among `strategies` (by default the catalogue) with the recorded digest, and
        `RecordUnreadable` for facts that no selection can be made on.
        """
        if record.meta_model_digest != self.meta_model_digest:
            raise MetaModelMissing(record.meta_model_digest, self.meta_model_digest)
        known = self._known(record.hardware, strategies)
        by_digest = {candidate.digest: candidate.strategy for candidate in map(self._prepare, known)}
        candidates = []
        for name, digest in record.candidates:
            if digest not in by_digest:
                raise StrategyUnknown(f"{name} {digest}", tuple(strategy.name for strategy in known))
            candidates.append(by_digest[digest])
        try:
            return self.select(record.model, record.hardware, record.workload, record.state, candidates)
        except (ArithmeticError, LookupError, ValueError) as error:
            # A stranger may record a workload of no prompts, or a machine without memory.
            raise RecordUnreadable("facts", f"nothing follows from them ({error})") from error

    def _known(self, hardware: HardwareFacts, strategies: Sequence[Strategy] | None) -> Sequence[Strategy]:
        return catalogue(hardware.device, self._vllm_version) if strategies is None else strategies

    def _offered(
        self, hardware: HardwareFacts, state: SelectionState, strategies: Sequence[Strategy] | None
    ) -> list[_Candidate]:
        """The candidates in the order of their names, so that the caller's order never matters."""
        known = sorted(self._known(hardware, strategies), key=lambda strategy: strategy.name)
        if state.allowed is not None:
            names = tuple(strategy.name for strategy in known)
            for name in state.allowed:
                if name not in names:
                    raise StrategyUnknown(name, names)
            known = [strategy for strategy in known if strategy.name in state.allowed]
        return [self._prepare(strategy) for strategy in known if hardware.device in strategy.devices]

    def _prepare(self, strategy: Strategy) -> _Candidate:
        prepared = self._prepared.get(strategy)
        if prepared is None:
            settings = Settings.of(strategy)
            prepared = _Candidate(strategy, settings, strategy_features(settings), strategy.digest())
            self._prepared[strategy] = prepared
        return prepared

    def _predict(
        self,
        model: ModelFacts,
        hardware: HardwareFacts,
        workload: Workload,
        state: SelectionState,
        candidates: Sequence[_Candidate],
    ) -> tuple[Prediction, ...]:
        shared = task_features(model, hardware, workload)
        planner = Planner(model, hardware, workload)
        rows, rooflines = [], []
        for candidate in candidates:
            expected = planner.plan(candidate.settings)
            met = plan_features(model, hardware, workload, candidate.settings, expected, planner.usual)
            rows.append(self._in_order({**shared, **candidate.features, **met}))
            rooflines.append(expected.total_secs)
        costs = self._predictor.predict(np.array(rows, dtype=np.float32), np.log(np.array(rooflines)))
        # In the order of the fields of `Prediction`.
        columns = (costs.total_secs, costs.prefill_secs, costs.decode_secs, costs.bound_secs, costs.p_failure)
        rounded = [[_rounded(value) for value in column.tolist()] for column in columns]
        starts = self._start_secs_of(candidates, state)
        return tuple(
            Prediction(candidate.strategy.name, *row)
            for candidate, *row in zip(candidates, *rounded, starts, strict=True)
        )

    def _start_secs_of(self, candidates: Sequence[_Candidate], state: SelectionState) -> list[float]:
        """What starting each would cost now; one that nobody has started yet is given the dearest start seen."""
        known = {**self._start_secs, **state.restart_secs}
        dearest = max(known.values(), default=0.0)
        names = [candidate.strategy.name for candidate in candidates]
        return [0.0 if name == state.running else known.get(name, dearest) for name in names]


def _rounded(value: float) -> float:
    """Six significant digits: beyond that the last bits of `exp` may differ between machines."""
    return float("%.6g" % value)  # noqa: UP031  # twice as quick as an f-string, and five are due per candidate


def expected_secs(prediction: Prediction, state: SelectionState) -> float:
    """What taking a strategy costs per job: its run, its share of a restart, and doing both again if it
    fails.
    """
    attempt = prediction.total_secs + prediction.restart_secs / (1 + state.queued_jobs)
    if prediction.p_failure < LEAST_FAILURE:
        return attempt
    return attempt + prediction.p_failure * (prediction.total_secs + prediction.restart_secs)


def decide(
    predictions: Sequence[Prediction], state: SelectionState, spreads: Mapping[str, float]
) -> tuple[int, str, str]:
    """Index of the prediction to take, with the code and the words of the reason.

    `spreads` say by strategy how far comparisons with the default are off (log). Pure; ties go to the
    earlier.
    """
    indices = range(len(predictions))
    scores = [expected_secs(prediction, state) for prediction in predictions]
    named: Mapping[str, int] = {prediction.strategy: index for index, prediction in enumerate(predictions)}
    fitting = [index for index in indices if _fits(predictions[index], state)]
    if not fitting:
        safe = named.get(DEFAULT_NAME, min(indices, key=lambda index: predictions[index].bound_secs))
        return (
            safe,
            NO_BOUND_FITS,
            f"no 90 % bound keeps {_limits(state)}: {predictions[safe].strategy}, the safe choice, it is",
        )
    best = min(fitting, key=lambda index: scores[index])
    if len(predictions) == 1:
        return best, ONLY_ONE, f"{predictions[best].strategy} is the only strategy that can run this"

    def as_good(other: int) -> bool:
        needed = margin(spreads, predictions[best].strategy, predictions[other].strategy)
        return other in fitting and scores[other] <= scores[best] * (1 + needed)

    running = named.get(state.running) if state.running is not None else None
    if running is not None and as_good(running):
        return running, KEPT_RUNNING, _why_kept(predictions, scores, state, best, running)
    default = named.get(DEFAULT_NAME)
    if default is not None and best != default and as_good(default):
        saved = f"{predictions[best].strategy} is expected to save {_saved(scores[best], scores[default])}"
        return default, DEFAULT_AS_GOOD, f"{saved}, too little to be sure of, and so {DEFAULT_NAME}"
    return best, FASTEST, _why_fastest(predictions, scores, best, default)


def _saved(best: float, other: float) -> str:
    share = 1 - best / other
    return f"{share:.0%}" if share >= 0.01 else "next to nothing"


def _why_kept(
    predictions: Sequence[Prediction],
    scores: Sequence[float],
    state: SelectionState,
    best: int,
    running: int,
) -> str:
    kept = predictions[running]
    quickest = min(predictions, key=lambda prediction: prediction.total_secs)
    if best != running:
        saved = f"{predictions[best].strategy} is expected to save {_saved(scores[best], scores[running])}"
        return f"{kept.strategy} runs already; {saved}, too little to be sure of"
    if quickest is kept:
        return f"{kept.strategy} runs already and is expected to be quickest: {kept.total_secs:.3g} s"
    jobs = "one job does" if state.queued_jobs == 0 else f"{state.queued_jobs + 1} jobs do"
    return (
        f"{kept.strategy} runs already: {quickest.strategy} would take {quickest.total_secs:.3g} s a job instead "
        f"of {kept.total_secs:.3g} s, but {jobs} not repay its start of {quickest.restart_secs:.3g} s"
    )


def _why_fastest(
    predictions: Sequence[Prediction], scores: Sequence[float], best: int, default: int | None
) -> str:
    name = predictions[best].strategy
    if default is None or default == best:
        return f"{name} is expected to be quickest: {predictions[best].total_secs:.3g} s a job"
    instead = (
        f"{scores[best]:.3g} s a job with its share of a start, {scores[default]:.3g} s for {DEFAULT_NAME}"
    )
    return f"{name} is expected to be quickest: {instead}"


def _fits(prediction: Prediction, state: SelectionState) -> bool:
    if state.budget_secs is not None and prediction.bound_secs > state.budget_secs:
        return False
    return (
        state.deadline_secs is None or prediction.bound_secs + prediction.restart_secs <= state.deadline_secs
    )


def _limits(state: SelectionState) -> str:
    limits = []
    if state.budget_secs is not None:
        limits.append(f"the budget of {state.budget_secs:g} s")
    if state.deadline_secs is not None:
        limits.append(f"the deadline in {state.deadline_secs:g} s")
    return " and ".join(limits)
