"""A deterministic engine without a model, for tests of all that surrounds one. It says "fake" in its facts.

The same prompt, sampling and vocabulary always give the same tokens (SHAKE-256 over them); an output ends by
itself ("stop") after a length that the prompt's hash decides. Its options are the `engine_args` whose name
starts with `fake_`; every other argument is accepted and ignored, because a worker hands it strategies made
for vLLM.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from engine.base import (
    BadEngineArgument,
    CheckedSequence,
    EngineConfig,
    EngineCrashed,
    EngineFacts,
    EngineStartFailed,
    FinishReason,
    GenerationRequest,
    JsonValue,
    Sampling,
    TokenCheck,
    UnknownEngineArgument,
)
from engine.modelfiles import read_json_if_there, token_ids
from engine.stepped import OpenRequest, SteppedEngine

FAKE_VERSION = "1"
_UNLIKELY_LOGPROB = -10.0
_SHORTEST_OUTPUT, _OUTPUT_LENGTHS = 8, 120


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """Speed and injected faults; each is the `engine_args` entry of the same name with `fake_` before it."""

    tokens_per_sec: float = 0.0
    """Of every request by itself; 0 is at once."""
    start_secs: float = 0.0
    start_fails: bool = False
    fail_every: int = 0
    """Every n-th request ends with finish_reason "error"; 0 is never."""
    crash_after_tokens: int = 0
    """`events` raises EngineCrashed after this many tokens (a child process dies of it); 0 is never."""
    hang_after_tokens: int = 0
    """`events` never returns after this many tokens; 0 is never."""

    @classmethod
    def from_engine_args(cls, engine_args: Mapping[str, JsonValue]) -> FakeOptions:
        """Raises UnknownEngineArgument, BadEngineArgument."""
        known = {f"fake_{item.name}": item.name for item in fields(cls)}
        given: dict[str, Any] = {}
        for name, value in engine_args.items():
            if not name.startswith("fake_"):
                continue
            if name not in known:
                raise UnknownEngineArgument(
                    f"engine argument {name!r} is not one of {', '.join(sorted(known))}"
                )
            if not isinstance(value, int | float) or value < 0:
                raise BadEngineArgument(f"engine argument {name} is {value!r}: give a number of 0 or more")
            given[known[name]] = value
        return cls(**given)


class FakeEngine(SteppedEngine):
    """See the module's text. In-process; `engine.child.ChildEngine("fake", config)` runs it in a child."""

    kind = "fake"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__()
        self._options = FakeOptions.from_engine_args(config.engine_args)
        self._environment = dict(config.environment)
        model = read_json_if_there(config.model_dir / "config.json")
        vocab_size, window = model.get("vocab_size"), model.get("max_position_embeddings")
        self._vocab_size = vocab_size if isinstance(vocab_size, int) else 32_000
        self._max_model_len = window if isinstance(window, int) else 4_096
        self._eos = min(token_ids(model.get("eos_token_id")), default=0)
        self._admitted = 0
        self._outputs: dict[OpenRequest, tuple[tuple[int, ...], FinishReason]] = {}

    def start(self, timeout_secs: float) -> EngineFacts:  # noqa: ARG002
        """`timeout_secs` is ignored, as by the engines that cannot interrupt their loading."""
        began = time.monotonic()
        time.sleep(self._options.start_secs)
        if self._options.start_fails:
            raise EngineStartFailed("fake engine: asked to fail at its start")
        self._started = True
        return EngineFacts(
            engine="fake",
            version=FAKE_VERSION,
            device="none",
            dtype="none",
            max_model_len=self._max_model_len,
            attention_backend="none",
            tensor_parallel_size=1,
            pipeline_parallel_size=1,
            environment=self._environment,
            start_secs=time.monotonic() - began,
        )

    def _admit(self, item: OpenRequest) -> None:
        self._admitted += 1
        if self._options.fail_every and self._admitted % self._options.fail_every == 0:
            raise ValueError("fake engine: asked to fail this request")
        self._outputs[item] = self._generate(item.request)

    def _drop(self, item: OpenRequest) -> None:
        del self._outputs[item]

    def _step(self) -> float:
        self._inject_faults()
        now, rate = time.time(), self._options.tokens_per_sec
        waits = []
        for item, (output, reason) in list(self._outputs.items()):
            due = min(len(output), int((now - item.submitted_at) * rate)) if rate else len(output)
            self._report(item, output[len(item.token_ids) : due])
            if due == len(output):
                del self._outputs[item]
                self._finish(item, reason)
            else:
                waits.append(item.submitted_at + (due + 1) / rate - now)
        return max(0.001, min(waits, default=0.0))

    def _score(self, sequences: Sequence[CheckedSequence]) -> list[TokenCheck]:
        checks = []
        for request_id, prompt, output in sequences:
            expected, _ = self._generate(GenerationRequest(request_id, prompt, len(output)))
            # Past the end of its own output the engine has no opinion.
            best = (expected + output[len(expected) :])[: len(output)]
            agreed = zip(output, best, strict=True)
            logprobs = tuple(0.0 if given == likely else _UNLIKELY_LOGPROB for given, likely in agreed)
            checks.append(TokenCheck(request_id, logprobs, (0.0,) * len(output), best))
        return checks

    def _generate(self, request: GenerationRequest) -> tuple[tuple[int, ...], FinishReason]:
        prompt = request.prompt_token_ids
        limit = min(request.max_tokens, self._max_model_len - len(prompt))
        draws = _draw(prompt, request.sampling, limit + 1)
        natural_length = _SHORTEST_OUTPUT + draws[0] % _OUTPUT_LENGTHS
        words = [value % self._vocab_size for value in draws[1 : min(limit, natural_length) + 1]]
        output = [(token + 1) % self._vocab_size if token == self._eos else token for token in words]
        if natural_length > limit:
            return tuple(output), "length"
        output[-1] = self._eos
        return tuple(output), "stop"

    def _inject_faults(self) -> None:
        generated = self._generated_tokens
        if self._options.crash_after_tokens and generated >= self._options.crash_after_tokens:
            raise EngineCrashed(f"fake engine: asked to crash after {generated} tokens")
        if self._options.hang_after_tokens and generated >= self._options.hang_after_tokens:
            threading.Event().wait()


def _draw(prompt: Sequence[int], sampling: Sampling, count: int) -> tuple[int, ...]:
    """`count` 32-bit numbers decided by prompt and sampling; asking for more keeps the first ones."""
    seed = struct.pack(f"<{len(prompt)}I", *prompt)
    if sampling.temperature > 0:
        seed += repr(sampling).encode()
    return struct.unpack(f"<{count}I", hashlib.shake_256(seed).digest(4 * count))
