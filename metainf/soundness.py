"""Whether a row of a table can be a measurement: a table that came from elsewhere, or was edited, may hold anything."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from math import isfinite

from metainf.overlap import SHARING_BLOCKS

# What the features divide by, or take the logarithm of.
_AT_LEAST_ONE = (
    "model_parameters",
    "model_layers",
    "model_hidden",
    "model_heads",
    "model_kv_heads",
    "model_head_dim",
    "model_vocab",
    "model_weight_bytes_per_param",
    "model_max_model_len",
    "hardware_memory_bytes",
    "hardware_kv_cache_bytes",
    "hardware_memory_bytes_per_s",
    "hardware_peak_flops",
    "workload_prompts",
    "workload_concurrency",
    "workload_prompt_tokens",
)
_TAKES_TIME = ("cpu_secs", "wall_secs")
_LENGTHS = {
    "workload_prompt_quantiles": 4,
    "workload_output_quantiles": 4,
    "workload_shared_tokens": len(SHARING_BLOCKS),
}
_OF_A_STRATEGY: Mapping[str, type] = {
    "engine_args": dict,
    "environment": dict,
    "devices": list,
    "vllm_versions": str,
    "exact": bool,
}


def flaw(row: Mapping[str, object], *, succeeded: bool) -> str | None:
    """What no measurement has, with column and value; None if there is nothing. `row` has the schema's types."""
    for name, value in row.items():
        if isinstance(value, int | float) and not (isfinite(value) and value >= 0):
            return f"{name} is {value}"
    for name in (*_AT_LEAST_ONE, *(_TAKES_TIME if succeeded else ())):
        if row[name] == 0:
            return f"{name} is 0"
    for name, length in _LENGTHS.items():
        found = row[name]
        if not isinstance(found, list) or len(found) != length or not all(_is_count(each) for each in found):
            return f"{name} is {found}, not {length} counts"
    problem = _of_a_strategy(str(row["strategy_json"]))
    if problem is not None:
        return f"strategy_json {problem}"
    return None if _is_moment(str(row["measured_at"])) else f"measured_at is {row['measured_at']!r}"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def _of_a_strategy(text: str) -> str | None:
    try:
        stored = json.loads(text)
    except ValueError:
        return "is not JSON"
    if not isinstance(stored, dict):
        return "is no object"
    lacking = [name for name, kind in _OF_A_STRATEGY.items() if not isinstance(stored.get(name), kind)]
    return f"has no {', '.join(lacking)}" if lacking else None
