"""The child's half of `engine.child`, run as `python -m engine.serve`: one engine, one loop."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from engine import wire
from engine.base import CheckedSequence, Completion, Engine, EngineConfig, EngineError, Event, Progress
from engine.oom import crash

HEARTBEAT_SECS = 1.0
# Tokens are gathered this long before a frame is written: a frame per step would wake the parent hundreds of
# times a second on a small model, and no reader follows faster than this.
GATHER_SECS = 0.05
# A heartbeat must get through between chunks, and a chunk should still fill a prefill batch.
CHECK_CHUNK = 16
_PR_SET_PDEATHSIG = 1


def main() -> None:
    read_fd, write_fd, parent_pid = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    _die_with_parent(parent_pid)
    commands: queue.SimpleQueue[wire.Frame] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(read_fd, commands), daemon=True).start()
    status = 0
    try:
        _Server(write_fd, commands).run()
    except BrokenPipeError:
        _kill_own_group()
    except Exception:  # noqa: BLE001 - whatever it was, the parent finds it in the log and sees the status
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Leaving through the interpreter's shutdown costs a second under torch, and can hang in it.
    os._exit(status)


class _Server:
    def __init__(self, write_fd: int, commands: queue.SimpleQueue[wire.Frame]) -> None:
        self._fd = write_fd
        self._commands = commands
        self._open_requests: set[str] = set()
        self._gathered: dict[str, list[int]] = {}
        self._last_sent = time.monotonic()

    def run(self) -> None:
        _, kind, model_dir, engine_args, environment, timeout_secs = self._commands.get()
        try:
            engine = build_engine(kind, EngineConfig(Path(model_dir), engine_args, environment))
            facts = engine.start(timeout_secs)
        except EngineError as error:
            self._send(["failed", *_named(error)])
            return
        self._send(["started", wire.pack_facts(facts)])
        try:
            while self._serve(engine):
                pass
        except EngineError as error:
            self._send(["died", *_named(error)])
            raise
        except MemoryError as error:
            self._send(["died", *_named(crash(kind, error))])
            raise
        engine.stop()

    def _serve(self, engine: Engine) -> bool:
        """One round: obey what has arrived, generate, report. False once told to stop."""
        command = self._next_command(wait=not self._open_requests)
        while command is not None:
            if command[0] == "stop":
                return False
            self._obey(engine, command)
            command = self._next_command(wait=False)
        if self._open_requests:
            self._report(engine.events(GATHER_SECS))
        if time.monotonic() - self._last_sent >= HEARTBEAT_SECS:
            self._send(["alive"])
        return True

    def _next_command(self, *, wait: bool) -> wire.Frame | None:
        try:
            return self._commands.get(wait, HEARTBEAT_SECS if wait else None)
        except queue.Empty:
            return None

    def _obey(self, engine: Engine, command: wire.Frame) -> None:
        kind, body = command
        if kind == "submit":
            requests = wire.unpack_requests(body)
            self._open_requests.update(item.request_id for item in requests)
            engine.submit(requests)
        elif kind == "abort":
            engine.abort(body)
        elif kind == "metrics":
            self._send(["metrics", wire.pack_metrics(engine.metrics())])
        elif kind == "check":
            self._check(engine, wire.unpack_sequences(body))

    def _check(self, engine: Engine, sequences: list[CheckedSequence]) -> None:
        answers: wire.Frame = []
        try:
            for start in range(0, len(sequences), CHECK_CHUNK):
                answers += wire.pack_checks(engine.prefill_check(sequences[start : start + CHECK_CHUNK]))
                self._send(["alive"])
        except ValueError as error:
            self._send(["refused", str(error)])
            return
        self._send(["checks", answers])

    def _report(self, events: list[Event]) -> None:
        completions = [item for item in events if isinstance(item, Completion)]
        for item in events:
            if isinstance(item, Progress):
                self._gathered.setdefault(item.request_id, []).extend(item.token_ids)
        if not completions and (not self._gathered or time.monotonic() - self._last_sent < GATHER_SECS):
            return
        self._open_requests.difference_update(item.request_id for item in completions)
        progress: wire.Frame = [[request_id, tokens] for request_id, tokens in self._gathered.items()]
        self._gathered.clear()
        self._send(["events", progress + wire.pack_events(completions)])

    def _send(self, frame: wire.Frame) -> None:
        wire.send(self._fd, frame)
        self._last_sent = time.monotonic()


def build_engine(kind: str, config: EngineConfig) -> Engine:
    """The engine of this kind, its library imported only now."""
    if kind == "vllm":
        from engine.vllm import VllmEngine

        return VllmEngine(config)
    if kind == "transformers":
        from engine.transformers import TransformersEngine

        return TransformersEngine(config)
    if kind == "fake":
        from engine.fake import FakeEngine

        return FakeEngine(config)
    raise ValueError(f"engine kind {kind!r} is not vllm, transformers or fake")


def _named(error: EngineError) -> tuple[str, str]:
    return type(error).__name__, str(error).removeprefix(f"{error.code} ")


def _read_commands(fd: int, commands: queue.SimpleQueue[wire.Frame]) -> None:
    reader = wire.FrameReader(fd)
    try:
        while True:
            for frame in reader.frames(timeout_secs=None):
                commands.put(frame)
    except (OSError, EOFError, ValueError):
        pass
    # The parent has gone without a word: nobody is left to stop us or the processes vLLM started.
    _kill_own_group()


def _die_with_parent(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        _kill_own_group()


def _kill_own_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
