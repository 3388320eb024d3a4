"""An engine in a process of its own: its crash, hang or out-of-memory kill is an error, never our end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine import base, wire
from engine.base import (
    CheckedSequence,
    Completion,
    DuplicateRequest,
    EngineConfig,
    EngineCrashed,
    EngineError,
    EngineFacts,
    EngineHung,
    EngineKind,
    EngineMetrics,
    EngineNotRunning,
    EngineOutOfMemory,
    EngineStartFailed,
    Event,
    GenerationRequest,
    TokenCheck,
)
from engine.environment import engine_environment
from engine.process import ChildProcess

DEFAULT_HANG_SECS = 300.0
DEFAULT_STOP_GRACE_SECS = 5.0
_LOOK_SECS = 0.5


class ChildEngine:
    """The engine of `kind` in its own process and process group, which dies with this process.

    `hang_secs`: a child speaks at least once a second unless a single engine step takes longer; after this
    much silence it is killed and EngineHung raised. `log_path`: where the child's stdout and stderr are
    appended; an unnamed temporary file if None. Either way the last line of it goes into the error after a
    crash.
    """

    def __init__(
        self,
        kind: EngineKind,
        config: EngineConfig,
        *,
        hang_secs: float = DEFAULT_HANG_SECS,
        stop_grace_secs: float = DEFAULT_STOP_GRACE_SECS,
        log_path: Path | None = None,
    ) -> None:
        self._kind = kind
        self._config = config
        self._hang_secs = hang_secs
        self._stop_grace_secs = stop_grace_secs
        self._log_path = log_path
        self._process: ChildProcess | None = None
        self._owner: threading.Thread | None = None
        # Guards everything below; notified on every change of it.
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._answers: deque[wire.Frame] = deque()
        self._submitted_at: dict[str, float] = {}
        self._end: EngineError | None = None
        # One frame at a time goes out, and one question at a time is open.
        self._sending = threading.Lock()
        self._asking = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the child; also its process group. None before `start`."""
        return self._process.pid if self._process is not None else None

    def start(self, timeout_secs: float) -> EngineFacts:
        if self._owner is not None or self._end is not None:
            raise EngineNotRunning(f"{self._kind} engine: an engine starts once: make a new one")
        began = time.monotonic()
        self._owner = threading.Thread(
            target=self._own_child, args=(timeout_secs,), name=f"{self._kind}-engine", daemon=True
        )
        self._owner.start()
        answer = self._await_answer(timeout_secs)
        if answer is None:
            self._give_up(EngineStartFailed(f"{self._kind} engine: not ready after {timeout_secs:g} s"))
        elif answer[0] == "failed":
            self._give_up(_error_named(answer[1], answer[2]))
        else:
            return replace(wire.unpack_facts(answer[1]), start_secs=time.monotonic() - began)
        raise self._ended()

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        now = time.time()
        with self._changed:
            self._raise_if_ended()
            for request in requests:
                if request.request_id in self._submitted_at:
                    raise DuplicateRequest(f"request {request.request_id!r} is already in the engine")
            self._submitted_at.update((item.request_id, now) for item in requests)
        self._send(["submit", wire.pack_requests(requests)])

    def events(self, timeout_secs: float) -> list[Event]:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._end, timeout_secs)
            if not self._events:
                self._raise_if_ended()
            found = list(self._events)
            self._events.clear()
            return found

    def abort(self, request_ids: Sequence[str]) -> None:
        self._send(["abort", list(request_ids)])

    def prefill_check(self, prompts_and_outputs: Sequence[CheckedSequence]) -> list[TokenCheck]:
        answer = self._ask(["check", wire.pack_sequences(prompts_and_outputs)])
        if answer[0] == "refused":
            raise ValueError(answer[1])
        return wire.unpack_checks(answer[1])

    def metrics(self) -> EngineMetrics:
        return wire.unpack_metrics(self._ask(["metrics", None])[1])

    def stop(self) -> None:
        """Ask the child to leave, then kill its process group. Waiting calls raise EngineNotRunning."""
        self._finish(EngineNotRunning(f"{self._kind} engine: stopped"))
        if self._owner is None or self._process is None:
            return
        # A sender stuck on a hung child holds the lock: then there is nobody to ask, only to kill.
        if self._sending.acquire(timeout=self._stop_grace_secs):
            with contextlib.suppress(OSError):
                wire.send(self._process.to_child, ["stop", None], self._stop_grace_secs)
            self._sending.release()
            self._owner.join(self._stop_grace_secs)
        self._process.kill()
        self._owner.join()

    def _own_child(self, timeout_secs: float) -> None:
        """Start the child, hear it out, bury it.

        All in one thread, because the kernel sends the parent-death signal when the *thread* that forked
        ends.
        """
        config = self._config
        environment = engine_environment(config.environment)
        try:
            process = ChildProcess([sys.executable, "-P", "-m", "engine.serve"], environment, self._log_path)
        except (OSError, subprocess.SubprocessError) as error:
            self._finish(EngineStartFailed(f"{self._kind} engine: cannot start a process: {error}"))
            return
        self._process = process
        if self._end is not None:
            # Stopped before there was anything to stop.
            process.kill()
        start = [self._kind, str(config.model_dir), dict(config.engine_args), environment, timeout_secs]
        with contextlib.suppress(OSError, EOFError, ValueError):
            with self._sending:
                wire.send(process.to_child, ["start", *start], timeout_secs)
            self._listen(wire.FrameReader(process.from_child))
        death = process.bury(self._stop_grace_secs)
        end = EngineOutOfMemory if death.out_of_memory else EngineCrashed
        self._finish(end(f"{self._kind} engine: {death.words}"))

    def _listen(self, reader: wire.FrameReader) -> None:
        started = False
        heard_at = time.monotonic()
        while True:
            frames = reader.frames(_LOOK_SECS)
            now = time.monotonic()
            if frames:
                heard_at = now
                started = started or any(frame[0] == "started" for frame in frames)
                self._hear(frames)
            elif started and now - heard_at > self._hang_secs:
                silence = f"silent for {self._hang_secs:g} s, so it was killed"
                self._give_up(EngineHung(f"{self._kind} engine: {silence}"))
                return

    def _hear(self, frames: list[wire.Frame]) -> None:
        with self._changed:
            for frame in frames:
                if frame[0] == "events":
                    self._events.extend(self._restamp(event) for event in wire.unpack_events(frame[1]))
                elif frame[0] == "died":
                    self._end = self._end or _error_named(frame[1], frame[2])
                elif frame[0] != "alive":
                    self._answers.append(frame)
            self._changed.notify_all()

    def _restamp(self, event: Event) -> Event:
        if not isinstance(event, Completion):
            return event
        # The child stamps a request when it gets to it; the caller's clock started here.
        return replace(event, submitted_at=self._submitted_at.pop(event.request_id))

    def _ask(self, question: wire.Frame) -> wire.Frame:
        with self._asking:
            self._send(question)
            answer = self._await_answer(None)
        if answer is None:
            raise self._ended()
        return answer

    def _await_answer(self, timeout_secs: float | None) -> wire.Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._answers or self._end, timeout_secs)
            return self._answers.popleft() if self._answers else None

    def _send(self, frame: wire.Frame) -> None:
        with self._changed:
            self._raise_if_ended()
        if self._process is None:
            raise EngineNotRunning(f"{self._kind} engine: not started")
        try:
            with self._sending:
                wire.send(self._process.to_child, frame, self._hang_secs)
        except TimeoutError as error:
            self._give_up(EngineHung(f"{self._kind} engine: {error}, so it was killed"))
            raise self._ended() from error
        except OSError:
            # The child is gone; its owner thread is about to say so, with the reason, to whoever asks next.
            pass

    def _give_up(self, error: EngineError) -> None:
        self._finish(error)
        if self._process is not None:
            self._process.kill()

    def _finish(self, error: EngineError) -> None:
        with self._changed:
            self._end = self._end or error
            self._changed.notify_all()

    def _ended(self) -> EngineError:
        with self._changed:
            end = self._end or EngineNotRunning(f"{self._kind} engine: not running")
        # A fresh object each time: raising one exception in several threads would mix their tracebacks.
        return _error_named(type(end).__name__, str(end).removeprefix(f"{end.code} "))

    def _raise_if_ended(self) -> None:
        if self._end is not None:
            raise self._ended()


def _error_named(name: str, text: str) -> EngineError:
    kind = getattr(base, name, EngineError)
    error: EngineError = (
        kind(text) if isinstance(kind, type) and issubclass(kind, EngineError) else EngineError(text)
    )
    return error
