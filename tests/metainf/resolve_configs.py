"""Reads [[name, engine arguments], ...] from stdin and writes what vLLM's configuration says to each; run by a test."""

import json
import os
import sys

from engine.environment import engine_environment
from engine.quirks import hide_broken_modules

os.environ.update(engine_environment({}))
hide_broken_modules()


def main() -> None:
    from vllm.engine.arg_utils import EngineArgs

    said = {}
    for name, arguments in json.load(sys.stdin):
        try:
            config = EngineArgs(
                model=sys.argv[1], disable_log_stats=False, **arguments
            ).create_engine_config()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            said[name] = f"{type(error).__name__}: {error}"
            continue
        scheduler, cache = config.scheduler_config, config.cache_config
        resolved = {
            "max_num_seqs": scheduler.max_num_seqs,
            "max_num_batched_tokens": scheduler.max_num_batched_tokens,
            "enable_chunked_prefill": scheduler.enable_chunked_prefill,
            "async_scheduling": scheduler.async_scheduling,
            "enable_prefix_caching": cache.enable_prefix_caching,
            "block_size": cache.block_size,
        }
        changed = {key: value for key, value in resolved.items() if arguments[key] != value}
        said[name] = f"vLLM changed {changed}" if changed else ""
    print(json.dumps(said))


if __name__ == "__main__":
    main()
