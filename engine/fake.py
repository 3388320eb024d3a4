"""A deterministic engine without a model, for tests of everything around an engine. It says "fake" in its facts.

The same prompt, sampling and vocabulary always give the same tokens (SHAKE-256 over them); the output ends by itself
("stop") after a length that the prompt's hash decides. Its options are the `engine_args` whose name starts with
`fake_`; every other argument is accepted and ignored, because a worker hands it strategies made for vLLM.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from engine.admission import why_bad_tokens, why_unservable
from engine.base import (
    ABORTED,
    BadEngineArgument,
    Completion,
    DuplicateRequest,
    EngineConfig,
    EngineCrashed,
    EngineFacts,
    EngineMetrics,
    EngineNotRunning,
    EngineStartFailed,
    Event,
    FinishReason,
    GenerationRequest,
    JsonValue,
    Progress,
    TokenCheck,
    UnknownEngineArgument,
)
from engine.modelfiles import read_json_if_there, token_ids

FAKE_VERSION = "1"
_UNLIKELY_LOGPROB = -10.0


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """Speed and injected faults; each is the `engine_args` entry of the same name with `fake_` before it."""

    tokens_per_sec: float = 0.0
    """Per request; 0 is at once."""
    start_secs: float = 0.0
    start_fails: bool = False
    fail_every: int = 0
    """Every n-th request ends with finish_reason "error"; 0 is never."""
    crash_after_tokens: int = 0
    """`events` raises EngineCrashed once this many tokens were generated (a child process dies of it); 0 is never."""
    hang_after_tokens: int = 0
    """`events` never returns once this many tokens were generated; 0 is never."""

    @classmethod
    def from_engine_args(cls, engine_args: Mapping[str, JsonValue]) -> FakeOptions:
        """Raises UnknownEngineArgument, BadEngineArgument."""
        known = {f"fake_{item.name}": item for item in fields(cls)}
        given: dict[str, float | int | bool] = {}
        for name, value in engine_args.items():
            if not name.startswith("fake_"):
                continue
            if name not in known:
                raise UnknownEngineArgument(
                    f"engine argument {name!r} is not one of {', '.join(sorted(known))}"
                )
            if not isinstance(value, int | float) or value < 0:
                raise BadEngineArgument(f"engine argument {name} is {value!r}: give a number of 0 or more")
            given[known[name].name] = value
        return cls(**given)  # type: ignore[arg-type]


@dataclass(slots=True)
class _Running:
    request: GenerationRequest
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    submitted_at: float
    reported: int = 0
    first_token_at: float | None = None


@dataclass(slots=True)
class _Counters:
    submitted: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    running: dict[str, _Running] = field(default_factory=dict)


class FakeEngine:
    """See the module's text. In-process; `engine.child.ChildEngine("fake", config)` runs it in a child."""

    def __init__(self, config: EngineConfig) -> None:
        self._options = FakeOptions.from_engine_args(config.engine_args)
        self._environment = dict(config.environment)
        model = read_json_if_there(config.model_dir / "config.json")
        vocab_size, window = model.get("vocab_size"), model.get("max_position_embeddings")
        self._vocab_size = vocab_size if isinstance(vocab_size, int) else 32_000
        self._max_model_len = window if isinstance(window, int) else 4_096
        self._eos = min(token_ids(model.get("eos_token_id")), default=0)
        self._state = _Counters()
        self._finished: deque[Event] = deque()
        self._changed = threading.Condition()
        self._started = self._stopped = False

    def start(self, timeout_secs: float) -> EngineFacts:
        began = time.monotonic()
        time.sleep(min(self._options.start_secs, timeout_secs))
        if self._options.start_fails or self._options.start_secs > timeout_secs:
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

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        self._require_running()
        now = time.time()
        with self._changed:
            for request in requests:
                if request.request_id in self._state.running:
                    raise DuplicateRequest(f"request {request.request_id!r} is already in the engine")
            for request in requests:
                self._state.submitted += 1
                self._admit(request, now)
            self._changed.notify_all()

    def events(self, timeout_secs: float) -> list[Event]:
        deadline = time.monotonic() + timeout_secs
        with self._changed:
            while True:
                self._require_running()
                self._inject_faults()
                found = self._due(time.time())
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                self._changed.wait(min(left, self._secs_to_next_token(time.time())))

    def abort(self, request_ids: Sequence[str]) -> None:
        with self._changed:
            for request_id in request_ids:
                running = self._state.running.pop(request_id, None)
                if running is not None:
                    done = running.token_ids[: running.reported]
                    self._finished.append(_completion(running, done, "error", ABORTED, time.time()))
            self._changed.notify_all()

    def prefill_check(
        self, prompts_and_outputs: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]]
    ) -> list[TokenCheck]:
        self._require_running()
        checks = []
        for request_id, prompt, output in prompts_and_outputs:
            problem = why_bad_tokens(prompt, self._vocab_size) or why_bad_tokens(
                output or prompt, self._vocab_size
            )
            if problem or len(prompt) + len(output) > self._max_model_len:
                raise ValueError(
                    f"{request_id}: {problem or f'longer than the window of {self._max_model_len}'}"
                )
            expected, _ = self._generate(GenerationRequest(request_id, prompt, max(1, len(output))))
            best = (expected + output)[: len(output)]
            checks.append(
                TokenCheck(
                    request_id=request_id,
                    logprobs=tuple(
                        0.0 if a == b else _UNLIKELY_LOGPROB for a, b in zip(output, best, strict=True)
                    ),
                    best_logprobs=(0.0,) * len(output),
                    best_token_ids=best,
                )
            )
        return checks

    def metrics(self) -> EngineMetrics:
        with self._changed:
            return EngineMetrics(
                generated_tokens=self._state.generated_tokens,
                prompt_tokens=self._state.prompt_tokens,
                running=len(self._state.running),
            )

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _require_running(self) -> None:
        if not self._started or self._stopped:
            raise EngineNotRunning(f"fake engine: {'stopped' if self._stopped else 'not started'}")

    def _admit(self, request: GenerationRequest, now: float) -> None:
        problem = why_unservable(request, self._vocab_size, self._max_model_len)
        if (
            problem is None
            and self._options.fail_every
            and self._state.submitted % self._options.fail_every == 0
        ):
            problem = "fake engine: asked to fail this request"
        if problem is not None:
            refused = _Running(request, (), "error", now)
            self._finished.append(_completion(refused, (), "error", problem, now))
            return
        output, reason = self._generate(request)
        self._state.prompt_tokens += len(request.prompt_token_ids)
        self._state.running[request.request_id] = _Running(request, output, reason, now)

    def _generate(self, request: GenerationRequest) -> tuple[tuple[int, ...], FinishReason]:
        room = self._max_model_len - len(request.prompt_token_ids)
        limit = min(request.max_tokens, room)
        sampled = request.sampling if request.sampling.temperature > 0 else None
        seed = struct.pack(f"<{len(request.prompt_token_ids)}I", *request.prompt_token_ids)
        stream = hashlib.shake_256(seed + repr(sampled).encode()).digest(4 * (limit + 1))
        drawn = struct.unpack(f"<{limit + 1}I", stream)
        natural_length = 8 + drawn[0] % 120
        words = [value % self._vocab_size for value in drawn[1 : min(limit, natural_length) + 1]]
        output = [(token + 1) % self._vocab_size if token == self._eos else token for token in words]
        if natural_length > limit:
            return tuple(output), "length"
        output[-1] = self._eos
        return tuple(output), "stop"

    def _due(self, now: float) -> list[Event]:
        found: list[Event] = list(self._finished)
        self._finished.clear()
        for running in list(self._state.running.values()):
            due = len(running.token_ids)
            if self._options.tokens_per_sec:
                due = min(due, int((now - running.submitted_at) * self._options.tokens_per_sec))
            if due == running.reported:
                continue
            fresh = running.token_ids[running.reported : due]
            running.first_token_at = running.first_token_at or now
            running.reported = due
            self._state.generated_tokens += len(fresh)
            found.append(Progress(running.request.request_id, fresh))
            if due == len(running.token_ids):
                del self._state.running[running.request.request_id]
                found.append(_completion(running, running.token_ids, running.finish_reason, None, now))
        return found

    def _secs_to_next_token(self, now: float) -> float:
        rate = self._options.tokens_per_sec
        if not rate or not self._state.running:
            return 3600.0
        waits = (
            item.submitted_at + (item.reported + 1) / rate - now for item in self._state.running.values()
        )
        return max(0.001, min(waits))

    def _inject_faults(self) -> None:
        generated = self._state.generated_tokens
        if self._options.crash_after_tokens and generated >= self._options.crash_after_tokens:
            raise EngineCrashed(f"fake engine: asked to crash after {generated} tokens")
        if self._options.hang_after_tokens and generated >= self._options.hang_after_tokens:
            threading.Event().wait()


def _completion(
    running: _Running, output: tuple[int, ...], reason: FinishReason, error: str | None, now: float
) -> Completion:
    return Completion(
        request_id=running.request.request_id,
        token_ids=output,
        finish_reason=reason,
        error=error,
        prompt_tokens=len(running.request.prompt_token_ids),
        submitted_at=running.submitted_at,
        first_token_at=running.first_token_at,
        finished_at=now,
    )
