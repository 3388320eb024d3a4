"""What the market costs an engine: tokens a second through it over those of the same prompts through bare vLLM.

Both run the same strategy on the same model, in turns, on one machine, which node and requester share. The clock runs
from the first prompt given to the engine to the last token out of it, so gaps between claimed batches count and the
chain's own latency does not.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import devnet as devnets
from engine.base import Completion, GenerationRequest
from engine.child import ChildEngine
from metainf import HardwareFacts
from protocol.batchfile import Message, Prompt
from protocol.params import GenerationParams
from scripts.bench.marketplace import MODEL_DIR, Place, await_settled, open_place, say, start_worker
from scripts.bench.random_model import SHAPES, write_random_model
from scripts.train_demo_model import words
from scripts.train_demo_model.story import StoryPlan
from worker import report
from worker.config import Batches, Engine, WorkerConfig
from worker.jobs import engine_config, sampling_of
from worker.machine import Machine
from worker.models import ServedModel, serve

_STRATEGY = "vllm-default"
_PARAMS = GenerationParams(max_tokens=96)
_ENGINE = Engine(strategies=(_STRATEGY,), slots=256)
_BATCHES = Batches(tasks=256, prompts=256)
_BATCH_PROMPTS = 64
_TIMEOUT_SECS = 900.0
# What is measured is in the worker's records: to look for its end shall cost the machine nothing.
_LOOK_SECS = 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """Tokens a second of the same prompts, both ways."""

    bare: float
    market: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", type=int, default=512, help="single prompts in a stream")
    parser.add_argument("--block-millis", type=int, default=250, help="interval of blocks")
    parser.add_argument(
        "--shape", choices=SHAPES, help="random weights of this shape in place of the demo model"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quern-bench-") as temporary:
        print(json.dumps(_measure(Path(temporary), options)))


def _measure(home: Path, options: argparse.Namespace) -> dict[str, object]:
    rounds, stream, shape = options.rounds, options.stream, options.shape
    model_dir = write_random_model(shape, MODEL_DIR, home / "models") if shape else MODEL_DIR
    place = open_place(home, block_millis=options.block_millis, model_dir=model_dir)
    model = next(iter(serve([model_dir]).values()))
    config = place.config().model_copy(update={"engine": _ENGINE, "batches": _BATCHES})
    strategy = next(item for item in Machine(config).strategies() if item.name == _STRATEGY)
    engine = ChildEngine(
        "vllm", engine_config(_ENGINE, model, strategy, HardwareFacts.detect().kv_cache_bytes)
    )
    child = start_worker(config)
    try:
        say("starting bare vLLM and the worker")
        engine.start(_ENGINE.start_timeout_secs)
        market = _Through(place, config, child)
        draw = random.Random(0)
        market.run([_prompts(draw, 4)])
        _bare(engine, model, _prompts(draw, 4))
        batches, streams = [], []
        for number in range(rounds):
            prompts = _prompts(draw, _BATCH_PROMPTS)
            batches.append(Pair(_bare(engine, model, prompts), market.run([prompts])))
            prompts = _prompts(draw, stream)
            streams.append(Pair(_bare(engine, model, prompts), market.run([[prompt] for prompt in prompts])))
            say(f"round {number + 1} of {rounds}: batch {_shown(batches[-1])}, stream {_shown(streams[-1])}")
        return {
            "ratio_batch": _ratio(batches),
            "ratio_stream": _ratio(streams),
            "bare_batch_tokens_per_s": round(statistics.median(pair.bare for pair in batches), 1),
            "bare_stream_tokens_per_s": round(statistics.median(pair.bare for pair in streams), 1),
            "rounds": rounds,
            "batch_prompts": _BATCH_PROMPTS,
            "stream_prompts": stream,
            "block_millis": options.block_millis,
            "model": model_dir.name,
            "strategy": _STRATEGY,
            "cores": os.cpu_count(),
        }
    finally:
        child.terminate()
        engine.stop()
        child.wait(60)
        devnets.down(home)


@dataclass(slots=True)
class _Through:
    """The market's way: submit, wait until settled, read the engine's times from the worker's records."""

    place: Place
    config: WorkerConfig
    child: "subprocess.Popen[bytes]"
    tasks: int = 0

    def run(self, inputs: Sequence[Sequence[Prompt]]) -> float:
        ids = set(self.place.submit(inputs, _PARAMS, tip_units=200_000))
        self.tasks += len(ids)
        await_settled(self.config, self.tasks, self.child, _TIMEOUT_SECS, _LOOK_SECS)
        records = [record for record in report.tasks(self.config) if record.task_id in ids]
        millis = max(record.finished_ms for record in records) - min(record.started_ms for record in records)
        return sum(record.output_tokens for record in records) * 1000 / millis


def _bare(engine: ChildEngine, model: ServedModel, prompts: Sequence[Prompt]) -> float:
    """All prompts at once, as a caller without a market would."""
    requests = [
        GenerationRequest(
            prompt.custom_id,
            model.tokenizer.encode_chat(prompt.chat()),
            prompt.max_tokens or _PARAMS.max_tokens,
            sampling_of(_PARAMS),
        )
        for prompt in prompts
    ]
    began, tokens, waiting = time.monotonic(), 0, len(requests)
    engine.submit(requests)
    while waiting:
        for event in engine.events(1.0):
            if isinstance(event, Completion):
                waiting -= 1
                tokens += len(event.token_ids)
    return tokens / (time.monotonic() - began)


def _prompts(draw: random.Random, count: int) -> list[Prompt]:
    """Stories, which are long enough to keep an engine busy; few are asked for twice."""
    plans = [
        StoryPlan(
            draw.choice(words.NAMES),
            draw.choice(words.HEROES),
            draw.choice(words.ROAD)[0],
            draw.randint(2, 9),
        )
        for _ in range(count)
    ]
    return [
        Prompt(f"{number}-{draw.randrange(1 << 30)}", (Message("user", plan.request()),))
        for number, plan in enumerate(plans)
    ]


def _ratio(pairs: Sequence[Pair]) -> float:
    return round(statistics.median(pair.market / pair.bare for pair in pairs), 3)


def _shown(pair: Pair) -> str:
    return f"{pair.market:.0f} of {pair.bare:.0f} tokens/s"


if __name__ == "__main__":
    main()
