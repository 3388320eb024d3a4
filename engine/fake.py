"""A deterministic engine without a model, for tests of all that surrounds one. It says "fake" in its facts.

Each token follows from the sampling and all tokens before it (BLAKE2 over them), as with a language model: the same
prompt always gives the same output, and an output cut short and fed back behind its prompt goes on as it would have. It
ends by itself ("stop") after some 128 tokens, as the hash decides. Its options are the `engine_args` whose name
starts with `fake_`; every other argument is accepted and ignored, because a worker hands it strategies made
for vLLM.
"""

from __future__ import annotations

import hashlib
import resource
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
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
_MEAN_OUTPUT = 128
_HOARD_BYTES = 512 << 20
_TOKEN = struct.Struct("<I")


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
    hoard_after_tokens: int = 0
    """After this many tokens it takes memory until none is left under a limit it sets itself; 0 is never."""

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
            state, best = _state(prompt, Sampling()), []
            for given in output:
                best.append(self._next(state))
                state.update(_TOKEN.pack(given))
            logprobs = tuple(
                0.0 if given == likely else _UNLIKELY_LOGPROB
                for given, likely in zip(output, best, strict=True)
            )
            checks.append(TokenCheck(request_id, logprobs, (0.0,) * len(output), tuple(best)))
        return checks

    def _generate(self, request: GenerationRequest) -> tuple[tuple[int, ...], FinishReason]:
        prompt = request.prompt_token_ids
        state, output = _state(prompt, request.sampling), []
        for _ in range(min(request.max_tokens, self._max_model_len - len(prompt))):
            token = self._next(state)
            output.append(token)
            if token == self._eos:
                return tuple(output), "stop"
            state.update(_TOKEN.pack(token))
        return tuple(output), "length"

    def _next(self, state: hashlib.blake2b) -> int:
        """The token that follows."""
        drawn = int.from_bytes(state.digest(), "little")
        if (drawn >> 32) % _MEAN_OUTPUT == 0:
            return self._eos
        token = drawn % self._vocab_size
        return token if token != self._eos else (token + 1) % self._vocab_size

    def _inject_faults(self) -> None:
        generated = self._generated_tokens
        if self._options.crash_after_tokens and generated >= self._options.crash_after_tokens:
            raise EngineCrashed(f"fake engine: asked to crash after {generated} tokens")
        if self._options.hang_after_tokens and generated >= self._options.hang_after_tokens:
            threading.Event().wait()
        if self._options.hoard_after_tokens and generated >= self._options.hoard_after_tokens:
            _hoard()


def _state(prompt: Sequence[int], sampling: Sampling) -> hashlib.blake2b:
    seed = repr(sampling).encode() if sampling.temperature > 0 else b""
    return hashlib.blake2b(seed + struct.pack(f"<{len(prompt)}I", *prompt), digest_size=8)


def _hoard() -> None:
    """Raises MemoryError, after half a GiB at most."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _HOARD_BYTES, used + _HOARD_BYTES))
    hoard = []
    while True:
        hoard.append(bytearray(_HOARD_BYTES // 8))
