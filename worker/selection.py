"""Asking the meta-model: which strategy for these prompts now, and how long will they take at most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from metainf import Choice, HardwareFacts, Prediction, SelectionState, Selector, Strategy, Workload
from worker.decide import Rates
from worker.inputs import CheckedInput, PreparedPrompt
from worker.models import ServedModel

_TYPICAL_PROMPTS = 32
_TYPICAL_TOKENS = 64
_CACHED_SHAPES = 4096
_SHAPE_PROMPTS = 256


class Chooser:
    """The selector with what does not change on this machine. Thread-safe.

    `allowed` names the strategies the operator permits; empty means every one in `strategies`.
    """

    def __init__(
        self,
        selector: Selector,
        hardware: HardwareFacts,
        strategies: Sequence[Strategy],
        allowed: Sequence[str],
        models: Mapping[bytes, ServedModel],
    ) -> None:
        self._selector = selector
        self._hardware = hardware
        self._strategies = tuple(strategies)
        self._allowed = tuple(allowed) or tuple(strategy.name for strategy in strategies)
        self._models = models
        self._bound_of_shape: Callable[..., float] = lru_cache(_CACHED_SHAPES)(self._predict_shape)

    @property
    def hardware(self) -> HardwareFacts:
        return self._hardware

    @property
    def allowed(self) -> tuple[str, ...]:
        return self._allowed

    def choose(self, model: ServedModel, inputs: Sequence[CheckedInput], state: SelectionState) -> Choice:
        """The strategy for these inputs together. Raises NothingFeasible, StrategyUnknown."""
        prompts = [prompt for checked in inputs for prompt in servable(checked)]
        greedy = sum(len(servable(checked)) for checked in inputs if checked.params.greedy)
        workload = Workload.from_token_ids(
            [prompt.token_ids for prompt in prompts], [prompt.max_tokens for prompt in prompts], greedy=greedy
        )
        if state.allowed is None:
            state = replace(state, allowed=self._allowed)
        return self._selector.select(model.facts, self._hardware, workload, state, self._strategies)

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
        )

    def rates(self, model: ServedModel) -> Rates:
        """What a token costs in a well-filled engine."""
        tokens = min(_TYPICAL_TOKENS, model.window // 2)
        choice = self._choose_shape(model, _TYPICAL_PROMPTS, tokens, tokens)
        return rates_of(prediction_of(choice), _TYPICAL_PROMPTS * tokens, _TYPICAL_PROMPTS * tokens)

    def _predict_shape(self, model_id: bytes, prompts: int, prompt_tokens: int, max_tokens: int) -> float:
        model = self._models[model_id]
        prompt_tokens = min(prompt_tokens, model.window - 1)
        choice = self._choose_shape(
            model, prompts, prompt_tokens, min(max_tokens, model.window - prompt_tokens)
        )
        return prediction_of(choice).bound_secs

    def _choose_shape(self, model: ServedModel, prompts: int, prompt_tokens: int, max_tokens: int) -> Choice:
        # Distinct first tokens: prompts that share nothing bound the time of those that do.
        ids = [
            tuple((place + step) % model.facts.vocab for step in range(prompt_tokens))
            for place in range(prompts)
        ]
        workload = Workload.from_token_ids(ids, [max_tokens] * prompts)
        state = SelectionState(allowed=self._allowed)
        return self._selector.select(model.facts, self._hardware, workload, state, self._strategies)


def servable(checked: CheckedInput) -> list[PreparedPrompt]:
    """The prompts the engine will get."""
    return [prompt for prompt in checked.prompts if prompt.error is None]


def prediction_of(choice: Choice) -> Prediction:
    """What was predicted of the strategy taken."""
    return next(item for item in choice.predictions if item.strategy == choice.strategy.name)


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
