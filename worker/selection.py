"""Asking the meta-model: which strategy for these prompts now, and how long will they take at most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from secrets import randbelow

from metainf import (
    Choice,
    HardwareFacts,
    ModelFacts,
    Prediction,
    SelectionState,
    Selector,
    Strategy,
    Workload,
)
from metainf.alike import strategy_place, workload_place
from metainf.corrector import Corrections, Corrector
from metainf.explore import LOTS, NO_EXPLORATION, Exploration
from metainf.features import strategy_features, task_features
from metainf.online import model_family
from metainf.settings import Settings
from worker.inputs import CheckedInput, PreparedPrompt
from worker.models import ServedModel
from worker.policy import Rates

_TYPICAL_PROMPTS = 32
_TYPICAL_TOKENS = 64
_CACHED_SHAPES = 4096
_SHAPE_PROMPTS = 256


@dataclass(frozen=True, slots=True)
class _Learned:
    """What goes together: corrections are those of one meta-model."""

    selector: Selector
    correctors: Mapping[str, Corrector]


class Chooser:
    """The selector with what does not change on this machine. Thread-safe.

    `allowed` names the strategies the operator permits; empty means every one in `strategies`. So many of a million
    choices as `explore_ppm` says try something to learn from.
    """

    def __init__(
        self,
        selector: Selector,
        hardware: HardwareFacts,
        strategies: Sequence[Strategy],
        allowed: Sequence[str],
        models: Mapping[bytes, ServedModel],
        explore_ppm: int = 0,
    ) -> None:
        self._hardware = hardware
        self._strategies = tuple(strategies)
        self._allowed = tuple(allowed) or tuple(strategy.name for strategy in strategies)
        self._models = models
        self._explore_ppm = explore_ppm
        self._by_digest = {strategy.digest(): strategy for strategy in strategies}
        self._places = {
            strategy.name: strategy_place(strategy_features(Settings.of(strategy)))
            for strategy in strategies
            if strategy.name in self._allowed
        }
        self._learned = _Learned(selector, {})
        self._bound_of_shape: Callable[..., float] = lru_cache(_CACHED_SHAPES)(self._predict_shape)

    @property
    def hardware(self) -> HardwareFacts:
        return self._hardware

    @property
    def allowed(self) -> tuple[str, ...]:
        return self._allowed

    def strategy_of(self, digest: str) -> Strategy | None:
        """The one of that digest, if this machine has it."""
        return self._by_digest.get(digest)

    @property
    def correctors(self) -> Mapping[str, Corrector]:
        return self._learned.correctors

    @property
    def meta_model_digest(self) -> str:
        return self._learned.selector.meta_model_digest

    def correct(self, by_family: Mapping[str, Corrector]) -> None:
        """From now on, predictions are corrected so, by model family."""
        self._learned = replace(self._learned, correctors=by_family)

    def adopt(self, selector: Selector) -> None:
        """From now on this one chooses. What another was corrected by says nothing of it."""
        self._learned = _Learned(selector, {})
        self._bound_of_shape = lru_cache(_CACHED_SHAPES)(self._predict_shape)

    def choose(self, model: ServedModel, inputs: Sequence[CheckedInput], state: SelectionState) -> Choice:
        """The strategy for these inputs together. Raises NothingFeasible, StrategyUnknown."""
        return self.choose_for(model.facts, self.workload_of(inputs), state)

    def choose_for(self, model: ModelFacts, workload: Workload, state: SelectionState) -> Choice:
        """The strategy for this workload, as `choose`."""
        if state.allowed is None:
            state = replace(state, allowed=self._allowed)
        learned = self._learned
        corrections = self._corrections(learned.correctors, model, workload)
        state = replace(
            state,
            corrections_log=corrections.log,
            optimism_ratio=corrections.optimism_ratio,
            exploration=self._exploration(),
        )
        return learned.selector.select(model, self._hardware, workload, state, self._strategies)

    def kv_tokens(self, model: ServedModel, devices: int) -> int:
        """How many tokens the KV cache of an engine holds that is spread over so many devices."""
        return self._hardware.kv_cache_bytes * devices // max(1, model.facts.kv_bytes_per_token)

    def workload_of(self, inputs: Sequence[CheckedInput]) -> Workload:
        """All their prompts as one batch."""
        prompts = [prompt for checked in inputs for prompt in servable(checked)]
        greedy = sum(len(servable(checked)) for checked in inputs if checked.params.greedy)
        return Workload.from_token_ids(
            [prompt.token_ids for prompt in prompts], [prompt.max_tokens for prompt in prompts], greedy=greedy
        )

    def _corrections(
        self, correctors: Mapping[str, Corrector], model: ModelFacts, workload: Workload
    ) -> Corrections:
        """Of the strategies permitted here."""
        corrector = correctors.get(model_family(model))
        if corrector is None:
            return Corrections({}, {})
        named = task_features(model, self._hardware, workload)
        return corrector.corrections(workload_place(named), self._places)

    def _exploration(self) -> Exploration:
        return Exploration(self._explore_ppm, randbelow(LOTS)) if self._explore_ppm else NO_EXPLORATION

    def with_bound(self, model: ServedModel, checked: CheckedInput) -> CheckedInput:
        """The input with the bound on its time filled in."""
        return replace(checked, facts=replace(checked.facts, alone_secs=self.alone_secs(model, checked)))

    def alone_secs(self, model: ServedModel, checked: CheckedInput) -> float:
        """Bound on one task run by itself, by its rough shape: exact enough to judge a lease, cheap enough for each."""
        prompts = servable(checked)
        if not prompts:
            return 0.0
        shaped = min(len(prompts), _SHAPE_PROMPTS)
        return (len(prompts) / shaped) * self._bound_of_shape(
            model.id,
            shaped,
            _rounded_up(max(len(prompt.token_ids) for prompt in prompts)),
            _rounded_up(max(prompt.max_tokens for prompt in prompts)),
            checked.strategies or self._allowed,
        )

    def rates(self, model: ServedModel) -> Rates:
        """What a token costs in a well-filled engine."""
        tokens = min(_TYPICAL_TOKENS, model.window // 2)
        choice = self._choose_shape(model, _TYPICAL_PROMPTS, tokens, tokens, self._allowed)
        return rates_of(prediction_of(choice), _TYPICAL_PROMPTS * tokens, _TYPICAL_PROMPTS * tokens)

    def _predict_shape(
        self, model_id: bytes, prompts: int, prompt_tokens: int, max_tokens: int, allowed: tuple[str, ...]
    ) -> float:
        model = self._models[model_id]
        prompt_tokens = min(prompt_tokens, model.window - 1)
        choice = self._choose_shape(
            model, prompts, prompt_tokens, min(max_tokens, model.window - prompt_tokens), allowed
        )
        return prediction_of(choice).bound_secs

    def _choose_shape(
        self,
        model: ServedModel,
        prompts: int,
        prompt_tokens: int,
        max_tokens: int,
        allowed: tuple[str, ...],
    ) -> Choice:
        # Distinct first tokens: prompts that share nothing bound the time of those that do.
        ids = [
            tuple((place + step) % model.facts.vocab for step in range(prompt_tokens))
            for place in range(prompts)
        ]
        workload = Workload.from_token_ids(ids, [max_tokens] * prompts)
        state = SelectionState(allowed=allowed)
        return self._learned.selector.select(model.facts, self._hardware, workload, state, self._strategies)


def servable(checked: CheckedInput) -> list[PreparedPrompt]:
    """The prompts the engine will get."""
    return [prompt for prompt in checked.prompts if prompt.error is None]


def prediction_of(choice: Choice) -> Prediction:
    """What was predicted of the strategy taken."""
    return next(item for item in choice.predictions if item.strategy == choice.strategy.name)


def regret_secs(choice: Choice) -> float:
    """What the cautious choice is predicted to cost beyond the best of the predictions, restarts counted in."""
    least = min(item.total_secs + item.restart_secs for item in choice.predictions)
    taken = prediction_of(choice)
    return max(0.0, taken.total_secs + taken.restart_secs - least)


def rates_of(prediction: Prediction, prompt_tokens: int, output_tokens: int) -> Rates:
    """The bound shared out over the tokens it was made for."""
    caution = prediction.bound_secs / prediction.total_secs if prediction.total_secs else 1.0
    return Rates(
        prefill_secs_per_token=caution * prediction.prefill_secs / max(1, prompt_tokens),
        decode_secs_per_token=caution * prediction.decode_secs / max(1, output_tokens),
    )


def _rounded_up(tokens: int) -> int:
    """To the next of 1, 2, 4, 6, 8, 12, 16, ...: few shapes, none smaller than the truth."""
    power = 1 << max(0, tokens - 1).bit_length()
    return power * 3 // 4 if power >= 8 and tokens <= power * 3 // 4 else power
