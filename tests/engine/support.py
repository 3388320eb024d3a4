"""Prompts, and helpers that talk to an engine the way a worker does."""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.base import (
    Completion,
    Engine,
    EngineKind,
    GenerationRequest,
    JsonValue,
    Progress,
    Sampling,
)
from engine.tokenizer import Tokenizer
from tests.checkout import ROOT

MODEL_DIR = ROOT / "models" / "quern-demo"
START_SECS = 120.0
ANSWER_SECS = 60.0
# Several tenths of a second on the quickest engine: long enough to be met at work by a test that was kept waiting.
LONG_ANSWER = 300
# Twice the noise seen between engines in float32; a tampered token is off by whole units.
MARGIN = 1e-3

VLLM_ARGS: dict[str, JsonValue] = {
    "dtype": "float32",
    "kv_cache_memory_bytes": 64 << 20,
    "block_size": 32,
    "max_num_seqs": 16,
}
ENGINE_ARGS: dict[EngineKind, dict[str, JsonValue]] = {
    "fake": {"fake_tokens_per_sec": 200.0},
    "transformers": {},
    "vllm": VLLM_ARGS,
}

_ids = itertools.count()


@dataclass
class Heard:
    """What an engine said about some requests until all had ended."""

    completions: dict[str, Completion] = field(default_factory=dict)
    progress: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def take(self, events: Iterable[Progress | Completion]) -> None:
        for event in events:
            assert event.request_id not in self.completions, "something after the completion"
            if isinstance(event, Progress):
                self.progress.setdefault(event.request_id, []).append(event.token_ids)
            else:
                self.completions[event.request_id] = event
                self.order.append(event.request_id)

    def tokens(self, request: GenerationRequest) -> tuple[int, ...]:
        return self.completions[request.request_id].token_ids


def ask(prompt: Sequence[int], max_tokens: int = 32, sampling: Sampling | None = None) -> GenerationRequest:
    return GenerationRequest(f"request-{next(_ids)}", tuple(prompt), max_tokens, sampling or Sampling())


def hear(engine: Engine, requests: Iterable[GenerationRequest], heard: Heard | None = None) -> Heard:
    """Listen until each of these (already submitted) has completed."""
    heard = heard or Heard()
    expected = {item.request_id for item in requests}
    deadline = time.monotonic() + ANSWER_SECS
    while not expected <= heard.completions.keys():
        assert time.monotonic() < deadline, f"no completion of {expected - heard.completions.keys()}"
        heard.take(engine.events(0.5))
    return heard


def generate(engine: Engine, *requests: GenerationRequest) -> Heard:
    engine.submit(requests)
    return hear(engine, requests)


def first_progress(engine: Engine, request: GenerationRequest) -> Heard:
    """Listen until this request has its first tokens; others may be over by then, itself not."""
    heard = Heard()
    deadline = time.monotonic() + ANSWER_SECS
    while request.request_id not in heard.progress:
        assert time.monotonic() < deadline, "no progress"
        heard.take(engine.events(0.5))
    assert request.request_id not in heard.completions, "over before it was watched"
    return heard


def long_prompt(engine: Engine, tokenizer: Tokenizer, at_least: int) -> tuple[int, ...]:
    """A prompt to which this engine gives a long greedy answer, found by trying one after another."""
    stories = (
        f"Tell a story of 10 days about {name} from the mill." for name in ("Mira the fox", "Otto the owl")
    )
    for prompt in (
        *(tokenizer.encode_chat([{"role": "user", "content": story}]) for story in stories),
        *(tuple(20 + (7 * seed + step * (seed + 5)) % 900 for step in range(12)) for seed in range(40)),
    ):
        request = ask(prompt, at_least)
        if len(generate(engine, request).tokens(request)) == at_least:
            return request.prompt_token_ids
    raise AssertionError("no long answer among the candidates")


def until(condition: Callable[[], bool], complaint: str, secs: float = 10.0) -> None:
    deadline = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """False for a process that is gone or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def group_members(group: int) -> list[int]:
    """The running processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or not is_running(int(entry.name)):
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            found.append(int(entry.name))
    return found
