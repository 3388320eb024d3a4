"""How vLLM's scheduler would work through a task under a strategy, and what that costs by the roofline.

The scheduler is followed in its broad lines: how many prompt tokens are computed after caching in whole blocks, how
many steps are taken, how full each is. The cost of a step is the greater of arithmetic and memory traffic (Williams,
Waterman and Patterson, 2009).
"""

from math import log, log1p
from typing import NamedTuple

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.overlap import SHARING_BLOCKS
from metainf.settings import YARDSTICK, Settings

# A step of the engine costs about this much beside arithmetic and memory. It only scales the rooflines below,
# so its exact value does not matter to trees.
STEP_SECS = 0.003

# About how long greedy output of random weights goes on before it repeats itself, by eye on measured runs.
TOKENS_BEFORE_LOOPS = 12


class Plan(NamedTuple):
    """How a scheduler would work through a workload, and its roofline cost in seconds."""

    batch: int
    prefill_tokens: int
    prefill_steps: int
    decode_steps: int
    kv_tokens: int
    prefill_secs: float
    decode_secs: float

    @property
    def total_secs(self) -> float:
        """Prefill and decode together."""
        return self.prefill_secs + self.decode_secs


PLAN_FEATURES = (
    "plan_log_batch",
    "plan_log_prefill_tokens",
    "plan_computed_prompt_ratio",
    "plan_log_prefill_steps",
    "plan_log_decode_steps",
    "plan_kv_tokens_per_capacity",
    "plan_log_prefill_secs",
    "plan_log_decode_secs",
    "plan_log_secs_over_usual",
    "plan_log_prefill_secs_over_usual",
    "plan_decode_ratio",
    "plan_accepted_drafts",
    "plan_sampled_drafts",
    "plan_draft_step_ratio",
)


class Roofline:
    """Plans of one task under any settings, and their features; what no strategy changes is worked out once."""

    def __init__(self, model: ModelFacts, hardware: HardwareFacts, workload: Workload) -> None:
        self._workload = workload
        head_parameters = model.vocab * model.hidden
        body_parameters = max(model.parameters - 2 * head_parameters, 0)
        # Each prompt's first output token comes out of its prefill.
        self._decode_tokens = workload.output_tokens - workload.prompts
        self._kv_tokens_per_request = workload.prompt_quantiles[1] + workload.output_quantiles[1]
        self._secs_per_prompt_token = 2 * body_parameters / hardware.peak_flops
        self._head_secs = 2 * head_parameters * workload.prompts / hardware.peak_flops
        self._decode_flop_secs = (
            2 * (body_parameters + head_parameters) * self._decode_tokens / hardware.peak_flops
        )
        self._weight_secs = model.weight_bytes / hardware.memory_bytes_per_s
        self._bytes_per_weight = max(model.weight_bytes_per_param, 1)
        mean_prompt_tokens = workload.prompt_tokens // workload.prompts
        kv_bytes = model.kv_bytes_per_token * mean_prompt_tokens * self._decode_tokens
        self._kv_secs = kv_bytes / hardware.memory_bytes_per_s
        self._kv_capacity = max(hardware.kv_cache_bytes // max(model.kv_bytes_per_token, 1), 1)
        self._looping_ratio = _looping_ratio(model, workload)
        self._sampled_ratio = 1 - workload.greedy / workload.prompts
        self._shared_tokens = {block: workload.shared_in_blocks(block) for block in SHARING_BLOCKS}
        # Many strategies differ in what no plan sees, so plans are kept.
        self._plans: dict[tuple[int, int, int, bool, float, int], tuple[Plan, tuple[float, ...]]] = {}
        self._usual = self._plan(YARDSTICK)

    def plan(self, settings: Settings) -> Plan:
        """The expected course, without speculation: its acceptance is unknown beforehand."""
        return self._planned(settings)[0]

    def values(self, settings: Settings) -> tuple[float, ...]:
        """The part of the features where task and strategy meet, in the order of `PLAN_FEATURES`."""
        course, described = self._planned(settings)
        drafts = settings.draft_tokens
        if not drafts:
            return (*described, 0.0, 0.0, 0.0)
        return (
            *described,
            drafts * self._looping_ratio,
            drafts * self._sampled_ratio,
            drafts * course.batch / settings.max_num_batched_tokens,
        )

    def _planned(self, settings: Settings) -> tuple[Plan, tuple[float, ...]]:
        key = (
            settings.max_num_seqs,
            settings.max_num_batched_tokens,
            settings.block_size,
            settings.prefix_caching,
            settings.quantised_bytes,
            settings.parallel,
        )
        known = self._plans.get(key)
        if known is None:
            course = self._plan(settings)
            known = self._plans[key] = course, self._described(course)
        return known

    def _described(self, course: Plan) -> tuple[float, ...]:
        """A plan, in itself and beside that of the yardstick."""
        usual, total_secs = self._usual, course.total_secs
        return (
            log(course.batch),
            log1p(course.prefill_tokens),
            course.prefill_tokens / max(self._workload.prompt_tokens, 1),
            log1p(course.prefill_steps),
            log1p(course.decode_steps),
            course.kv_tokens / self._kv_capacity,
            log(course.prefill_secs),
            log(course.decode_secs) if course.decode_secs > 0 else log(1e-6),
            log(total_secs / usual.total_secs),
            log(course.prefill_secs / usual.prefill_secs),
            course.decode_secs / total_secs,
        )

    def _plan(self, settings: Settings) -> Plan:
        workload = self._workload
        batch = min(settings.max_num_seqs, workload.concurrency)
        cached = self._cached_tokens(settings.block_size) if settings.prefix_caching else 0
        prefill_tokens = workload.prompt_tokens - cached
        prefill_steps = max(
            -(-prefill_tokens // settings.max_num_batched_tokens), -(-workload.prompts // batch)
        )
        decode_steps = max(workload.output_quantiles[3] - 1, -(-self._decode_tokens // batch))
        prefill_flop_secs = self._secs_per_prompt_token * prefill_tokens + self._head_secs
        weight_secs = self._weight_secs * (
            settings.quantised_bytes / self._bytes_per_weight if settings.quantised_bytes else 1.0
        )
        return Plan(
            batch=batch,
            prefill_tokens=prefill_tokens,
            prefill_steps=prefill_steps,
            decode_steps=decode_steps,
            kv_tokens=batch * self._kv_tokens_per_request,
            prefill_secs=prefill_steps * STEP_SECS
            + max(prefill_flop_secs, prefill_steps * weight_secs) / settings.parallel,
            decode_secs=decode_steps * STEP_SECS
            + max(self._decode_flop_secs, decode_steps * weight_secs + self._kv_secs) / settings.parallel,
        )

    def _cached_tokens(self, block_size: int) -> int:
        known = self._shared_tokens.get(block_size)
        return self._workload.shared_in_blocks(block_size) if known is None else known


def _looping_ratio(model: ModelFacts, workload: Workload) -> float:
    """The share of the output that repeats itself, which is what drafts live on: greedy output of random weights, after
    its first tokens.
    """
    looping = max(0.0, 1 - TOKENS_BEFORE_LOOPS / workload.output_quantiles[3])
    return model.random_weights * looping * workload.greedy / workload.prompts
