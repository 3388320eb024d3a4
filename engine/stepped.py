"""What all engines share: the queues between their callers and the one thread that is inside the model."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from engine.admission import why_bad_tokens, why_unservable
from engine.base import (
    ABORTED,
    CheckedSequence,
    Completion,
    DuplicateRequest,
    EngineKind,
    EngineMetrics,
    EngineNotRunning,
    Event,
    FinishReason,
    GenerationRequest,
    Progress,
    TokenCheck,
)


@dataclass(slots=True, eq=False)
class OpenRequest:
    """A request between submission and completion, with what it has generated so far."""

    request: GenerationRequest
    submitted_at: float
    token_ids: list[int] = field(default_factory=list)
    first_token_at: float | None = None


class SteppedEngine(ABC):
    """An engine that advances in steps, taken by whoever waits in `events` or `prefill_check`.

    A subclass sets `_vocab_size` and `_max_model_len` and `_started` in `start`, and calls `_report` and
    `_finish` from `_step`. All four methods it must give are called by one thread at a time.
    """

    kind: ClassVar[EngineKind]

    def __init__(self) -> None:
        self._vocab_size = 0
        self._max_model_len = 0
        self._started = False
        self._stopped = False
        self._generated_tokens = 0
        self._prompt_tokens = 0
        # Held by the one thread that is inside the model.
        self._stepping = threading.RLock()
        # Guards what callers and that thread share, below.
        self._changed = threading.Condition()
        self._open: dict[str, OpenRequest] = {}
        self._submitted: deque[OpenRequest] = deque()
        self._aborted: deque[str] = deque()
        self._ready: deque[Event] = deque()

    @abstractmethod
    def _admit(self, item: OpenRequest) -> None:
        """Start generating. Raises ValueError, saying why, if this engine cannot."""

    @abstractmethod
    def _drop(self, item: OpenRequest) -> None:
        """Stop generating an admitted request."""

    @abstractmethod
    def _step(self) -> float:
        """Advance what is admitted by one step; seconds to wait before another one can bring anything."""

    @abstractmethod
    def _score(self, sequences: Sequence[CheckedSequence]) -> list[TokenCheck]:
        """As `prefill_check`, for sequences that fit and have an output."""

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        self._require_running()
        now = time.time()
        with self._changed:
            for request in requests:
                if request.request_id in self._open:
                    raise DuplicateRequest(f"request {request.request_id!r} is already in the engine")
            fresh = [OpenRequest(request, now) for request in requests]
            self._open.update((item.request.request_id, item) for item in fresh)
            self._submitted.extend(fresh)
            self._changed.notify_all()

    def abort(self, request_ids: Sequence[str]) -> None:
        with self._changed:
            self._aborted.extend(request_ids)
            self._changed.notify_all()

    def events(self, timeout_secs: float) -> list[Event]:
        deadline = time.monotonic() + timeout_secs
        while True:
            self._require_running()
            with self._stepping:
                self._take_in()
                wait_secs = self._step() if self._open else timeout_secs
            with self._changed:
                if self._ready:
                    found = list(self._ready)
                    self._ready.clear()
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                if wait_secs > 0 and not self._submitted and not self._aborted and not self._stopped:
                    self._changed.wait(min(left, wait_secs))

    def prefill_check(self, prompts_and_outputs: Sequence[CheckedSequence]) -> list[TokenCheck]:
        self._require_running()
        for request_id, prompt, output in prompts_and_outputs:
            total = len(prompt) + len(output)
            problem = why_bad_tokens(prompt + output, self._vocab_size) if prompt else "prompt is empty"
            if problem is None and total > self._max_model_len:
                problem = f"prompt and output have {total} tokens: the window is {self._max_model_len}"
            if problem is not None:
                raise ValueError(f"{request_id}: {problem}")
        with self._stepping:
            scored = iter(self._score([item for item in prompts_and_outputs if item[2]]))
        return [next(scored) if item[2] else TokenCheck(item[0], (), (), ()) for item in prompts_and_outputs]

    def metrics(self) -> EngineMetrics:
        self._require_running()
        with self._changed:
            waiting = len(self._submitted)
            return EngineMetrics(
                generated_tokens=self._generated_tokens,
                prompt_tokens=self._prompt_tokens,
                running=len(self._open) - waiting,
                waiting=waiting,
            )

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _require_running(self) -> None:
        if not self._started or self._stopped:
            raise EngineNotRunning(f"{self.kind} engine: {'stopped' if self._stopped else 'not started'}")

    def _take_in(self) -> None:
        """Admit and drop what callers have asked for since the last step."""
        if not self._submitted and not self._aborted:
            return
        with self._changed:
            fresh, self._submitted = self._submitted, deque()
            aborted, self._aborted = self._aborted, deque()
        for item in fresh:
            problem = why_unservable(item.request, self._vocab_size, self._max_model_len)
            if problem is None:
                try:
                    self._admit(item)
                except ValueError as error:
                    problem = str(error).splitlines()[0]
            if problem is not None:
                self._finish(item, "error", problem)
            else:
                self._prompt_tokens += len(item.request.prompt_token_ids)
        for request_id in aborted:
            ended = self._open.get(request_id)
            if ended is not None:
                self._drop(ended)
                self._finish(ended, "error", ABORTED)

    def _report(self, item: OpenRequest, fresh: Sequence[int]) -> None:
        """Hand out new tokens of a request."""
        if not fresh:
            return
        item.first_token_at = item.first_token_at or time.time()
        item.token_ids.extend(fresh)
        with self._changed:
            self._generated_tokens += len(fresh)
            self._ready.append(Progress(item.request.request_id, tuple(fresh)))

    def _finish(self, item: OpenRequest, reason: FinishReason, error: str | None = None) -> None:
        """Close a request."""
        completion = Completion(
            request_id=item.request.request_id,
            token_ids=tuple(item.token_ids),
            finish_reason=reason,
            error=error,
            prompt_tokens=len(item.request.prompt_token_ids),
            submitted_at=item.submitted_at,
            first_token_at=item.first_token_at,
            finished_at=time.time(),
        )
        with self._changed:
            del self._open[item.request.request_id]
            self._ready.append(completion)
