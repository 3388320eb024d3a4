"""What the meta-model sees of one (task, strategy) pair: flat, physical, on log scale.

Names carry the unit; `log_` is the natural logarithm of one plus the value. The `plan_` features follow
vLLM's scheduler in its broad lines: how many prompt tokens are computed after caching in whole blocks,
how many steps are taken, how full each is, and what those cost by the roofline (the greater of arithmetic
and memory traffic).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, log1p
from typing import NamedTuple

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.overlap import SHARING_BLOCKS
from metainf.strategy import Strategy, whole

# A step of the engine costs about this much beside arithmetic and memory. It only scales the rooflines below,
# so its exact value does not matter to trees.
STEP_SECS = 0.003

# About how long greedy output of random weights goes on before it repeats itself, by eye on measured runs.
TOKENS_BEFORE_LOOPS = 12


# Ways of guessing tokens ahead, as the records name them.
NGRAM = "ngram"
SUFFIX = "suffix"

# Bytes of a weight under what an engine may make of it; the dtype it is stored in otherwise.
_QUANTISED_BYTES = {"fp8": 1.0, "int8": 1.0, "w8a8": 1.0, "int4": 0.5, "awq": 0.5, "gptq": 0.5}


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers of a strategy that a scheduler works with. `speculation` is how tokens are guessed ahead, empty
    if they are not; `quantised_bytes` is what a weight takes if the engine makes it smaller, else 0.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int
    prefix_caching: bool
    chunked_prefill: bool
    eager: bool
    draft_tokens: int
    speculation: str = ""
    quantised_bytes: float = 0.0
    kv_fp8: bool = False
    parallel: int = 1

    @classmethod
    def of(cls, strategy: Strategy) -> "Settings":
        """Read a strategy's engine arguments; every flag of a record is explicit, so a missing one is a
        `KeyError`.
        """
        arguments = strategy.engine_args
        speculative = arguments["speculative_config"]
        guessing = speculative if isinstance(speculative, Mapping) else {"num_speculative_tokens": 0}
        quantisation = str(arguments.get("quantization") or "")
        return cls(
            max_num_seqs=whole(arguments, "max_num_seqs"),
            max_num_batched_tokens=whole(arguments, "max_num_batched_tokens"),
            block_size=whole(arguments, "block_size"),
            prefix_caching=bool(arguments["enable_prefix_caching"]),
            chunked_prefill=bool(arguments["enable_chunked_prefill"]),
            eager=bool(arguments["enforce_eager"]),
            draft_tokens=whole(guessing, "num_speculative_tokens"),
            speculation=str(guessing.get("method", "")),
            quantised_bytes=next(
                (size for name, size in _QUANTISED_BYTES.items() if name in quantisation),
                1.0 if quantisation else 0.0,
            ),
            kv_fp8=str(arguments["kv_cache_dtype"]).startswith("fp8"),
            parallel=whole(arguments, "tensor_parallel_size") * whole(arguments, "pipeline_parallel_size"),
        )


# What plans are compared with, so that a feature tells by how much a strategy should change the work: the settings
# vLLM chooses by itself on a CPU. A yardstick only; it need not be a candidate.
YARDSTICK = Settings(
    max_num_seqs=256,
    max_num_batched_tokens=4096,
    block_size=128,
    prefix_caching=True,
    chunked_prefill=True,
    eager=True,
    draft_tokens=0,
)


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


class Planner:
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


def task_features(model: ModelFacts, hardware: HardwareFacts, workload: Workload) -> dict[str, float]:
    """The part all strategies of a task share."""
    least, median, high, greatest = workload.prompt_quantiles
    _, output_median, output_high, output_greatest = workload.output_quantiles
    return {
        "model_log_parameters": log1p(model.parameters),
        "model_layers": float(model.layers),
        "model_log_hidden": log1p(model.hidden),
        "model_log_vocab": log1p(model.vocab),
        "model_kv_heads_per_head": model.kv_heads / model.heads,
        "model_log_kv_bytes_per_token": log1p(model.kv_bytes_per_token),
        "model_weight_bytes_per_param": float(model.weight_bytes_per_param),
        "model_log_max_model_len": log1p(model.max_model_len),
        "model_random_weights": float(model.random_weights),
        "hardware_cores": float(hardware.cores),
        "hardware_log_memory_bytes_per_s": log1p(hardware.memory_bytes_per_s),
        "hardware_log_peak_flops": log1p(hardware.peak_flops),
        "workload_log_prompts": log1p(workload.prompts),
        "workload_log_concurrency": log1p(workload.concurrency),
        "workload_greedy_ratio": workload.greedy / workload.prompts,
        "workload_log_prompt_tokens": log1p(workload.prompt_tokens),
        "workload_log_prompt_least": log1p(least),
        "workload_log_prompt_median": log1p(median),
        "workload_log_prompt_p90": log1p(high),
        "workload_log_prompt_greatest": log1p(greatest),
        "workload_log_output_tokens": log1p(workload.output_tokens),
        "workload_log_output_median": log1p(output_median),
        "workload_log_output_p90": log1p(output_high),
        "workload_log_output_greatest": log1p(output_greatest),
        "workload_shared_prefix_ratio": workload.shared_prefix_ratio,
        "workload_ngram_overlap": workload.ngram_overlap,
    }


def strategy_features(settings: Settings) -> dict[str, float]:
    """The part that is the strategy's own."""
    return {
        "strategy_log_max_num_seqs": log(settings.max_num_seqs),
        "strategy_log_max_num_batched_tokens": log(settings.max_num_batched_tokens),
        "strategy_log_block_size": log(settings.block_size),
        "strategy_prefix_caching": float(settings.prefix_caching),
        "strategy_chunked_prefill": float(settings.chunked_prefill),
        "strategy_eager": float(settings.eager),
        "strategy_draft_tokens": float(settings.draft_tokens),
        "strategy_ngram": float(settings.speculation == NGRAM),
        "strategy_suffix": float(settings.speculation == SUFFIX),
        "strategy_draft_model": float(settings.speculation not in ("", NGRAM, SUFFIX)),
        "strategy_quantised_bytes": settings.quantised_bytes,
        "strategy_kv_fp8": float(settings.kv_fp8),
        "strategy_log_parallel": log(settings.parallel),
    }


STRATEGY_FEATURES = tuple(strategy_features(YARDSTICK))


def _looping_ratio(model: ModelFacts, workload: Workload) -> float:
    """The share of the output that repeats itself, which is what drafts live on: greedy output of random weights, after
    its first tokens.
    """
    looping = max(0.0, 1 - TOKENS_BEFORE_LOOPS / workload.output_quantiles[3])
    return model.random_weights * looping * workload.greedy / workload.prompts


def features(
    model: ModelFacts, hardware: HardwareFacts, workload: Workload, strategy: Strategy
) -> dict[str, float]:
    """Every feature of one (task, strategy) pair, by name, in a fixed order."""
    settings = Settings.of(strategy)
    return {
        **task_features(model, hardware, workload),
        **strategy_features(settings),
        **dict(zip(PLAN_FEATURES, Planner(model, hardware, workload).values(settings), strict=True)),
    }
