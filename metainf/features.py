"""What the meta-model sees of one (task, strategy) pair: flat, physical, on log scale.

Names carry the unit; `log_` is the natural logarithm of one plus the value. The `plan_` features are those of
`roofline`.
"""

from math import log, log1p

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.roofline import PLAN_FEATURES, Roofline
from metainf.settings import NGRAM, SUFFIX, YARDSTICK, Settings
from metainf.strategy import Strategy


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


def features(
    model: ModelFacts, hardware: HardwareFacts, workload: Workload, strategy: Strategy
) -> dict[str, float]:
    """Every feature of one (task, strategy) pair, by name, in a fixed order."""
    settings = Settings.of(strategy)
    return {
        **task_features(model, hardware, workload),
        **strategy_features(settings),
        **dict(zip(PLAN_FEATURES, Roofline(model, hardware, workload).values(settings), strict=True)),
    }
