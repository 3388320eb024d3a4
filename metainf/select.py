"""Choosing a strategy: drop what cannot run, predict, weigh restarts, keep to limits, say why.

Deterministic: the same facts, state, candidates and meta-model give the same choice on every machine, so
that an auditor can replay it from the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metainf.catalogue import EXTRAS, catalogue
from metainf.choice import Choice, Prediction, SelectionRecord, SelectionState
from metainf.errors import MetaModelMissing, NothingFeasible, RecordUnreadable, StrategyUnknown
from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.feasible import obstacle
from metainf.features import STRATEGY_FEATURES, strategy_features, task_features
from metainf.model import SHIPPED, MetaModel
from metainf.online import corrected
from metainf.roofline import PLAN_FEATURES, Roofline
from metainf.rule import EXPLORED, decide, explore
from metainf.settings import Settings
from metainf.strategy import Strategy


@dataclass(frozen=True, slots=True)
class _Candidate:
    strategy: Strategy
    settings: Settings
    values: tuple[float, ...]
    digest: str


class Selector:
    """Chooses among strategies with one meta-model; immutable and safe to share between threads."""

    def __init__(self, meta_model: MetaModel) -> None:
        self.meta_model_digest = meta_model.digest()
        self._spreads = dict(meta_model.spreads_log)
        self._start_secs = dict(meta_model.start_secs)
        self._feature_names = meta_model.feature_names
        self._predictor = meta_model.predictor()
        version = meta_model.provenance.get("vllm_version")
        self._vllm_version = version if isinstance(version, str) else ""
        self._prepared: dict[Strategy, _Candidate] = {}
        self._columns: npt.NDArray[np.int64] | None = None

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
        explored = explore(predictions, state, index)
        if explored.index != index:
            index, reason_code, reason = explored.index, EXPLORED, explored.reason
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
            propensity=explored.propensity,
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
        # Whoever made the choice may have had more installed than this machine has.
        every = catalogue(record.hardware.device, self._vllm_version, EXTRAS)
        known = every if strategies is None else strategies
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
            values = tuple(strategy_features(settings).values())
            prepared = _Candidate(strategy, settings, values, strategy.digest())
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
        roofline = Roofline(model, hardware, workload)
        rows = np.empty(
            (len(candidates), len(shared) + len(STRATEGY_FEATURES) + len(PLAN_FEATURES)), np.float32
        )
        rows[:, : len(shared)] = tuple(shared.values())
        rows[:, len(shared) :] = [
            candidate.values + roofline.values(candidate.settings) for candidate in candidates
        ]
        rows = rows[:, self._columns_of((*shared, *STRATEGY_FEATURES, *PLAN_FEATURES))]
        rooflines = [roofline.plan(candidate.settings).total_secs for candidate in candidates]
        by_strategy = state.corrections_log
        known_log_secs = [
            corrected(log(secs), candidate.strategy.name, by_strategy)
            for candidate, secs in zip(candidates, rooflines, strict=True)
        ]
        costs = self._predictor.predict(rows, np.array(known_log_secs))
        # In the order of the fields of `Prediction`.
        columns = (costs.total_secs, costs.prefill_secs, costs.decode_secs, costs.bound_secs, costs.p_failure)
        rounded = _rounded(np.stack(columns, axis=1))
        starts = self._start_secs_of(candidates, state)
        return tuple(
            Prediction(candidate.strategy.name, *(*row, start))
            for candidate, row, start in zip(candidates, rounded, starts, strict=True)
        )

    def _columns_of(self, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Where the features that the meta-model learned from stand among all."""
        if self._columns is None:
            place = {name: column for column, name in enumerate(names)}
            self._columns = np.array([place[name] for name in self._feature_names])
        return self._columns

    def _start_secs_of(self, candidates: Sequence[_Candidate], state: SelectionState) -> list[float]:
        """What starting each would cost now; one that nobody has started yet is given the dearest start seen."""
        known = {**self._start_secs, **state.restart_secs}
        dearest = max(known.values(), default=0.0)
        names = [candidate.strategy.name for candidate in candidates]
        up = {state.running, *state.resident}
        return [0.0 if name in up else known.get(name, dearest) for name in names]


def _rounded(values: npt.NDArray[np.float64]) -> list[list[float]]:
    """Six significant digits: beyond that the last bits of `exp` may differ between machines."""
    # One format for all: several times as quick as one for each.
    written = " ".join(["%.6g"] * values.size) % tuple(values.ravel().tolist())
    numbers = list(map(float, written.split()))
    return [numbers[first : first + values.shape[1]] for first in range(0, values.size, values.shape[1])]
