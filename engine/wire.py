"""What parent and child say to each other: length-prefixed JSON arrays, one frame for many events.

A frame is four bytes of length (big endian) and one JSON array `[kind, ...]`. Requests and events travel as
arrays in the field order of their dataclasses. JSON carries data only: nothing that arrives can name code to
run.
"""

from __future__ import annotations

import json
import os
import select
import struct
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from operator import attrgetter
from typing import Any, TypeAlias

from engine.base import (
    CheckedSequence,
    Completion,
    EngineFacts,
    EngineMetrics,
    Event,
    GenerationRequest,
    Progress,
    Sampling,
    TokenCheck,
)

# Frames are JSON that our own other half wrote; their shape is checked by unpacking, not by a type.
Frame: TypeAlias = list[Any]

MAX_FRAME_BYTES = 1 << 30
_READ_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")
# `astuple` copies what it finds, and takes longer than all the rest of a request.
_SAMPLING_VALUES = attrgetter(*(field.name for field in fields(Sampling)))


def send(fd: int, frame: Sequence[object], timeout_secs: float | None = None) -> None:
    """Write one frame whole. Raises BrokenPipeError when nobody reads any more.

    On a descriptor that does not block: TimeoutError if the other side takes nothing for `timeout_secs`; half a frame
    is out by then, and the pipe of no more use.
    """
    body = json.dumps(frame, separators=(",", ":")).encode()
    view = memoryview(_LENGTH.pack(len(body)) + body)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _await_room(fd, timeout_secs)


def _await_room(fd: int, timeout_secs: float | None) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(None if timeout_secs is None else int(timeout_secs * 1000)):
        raise TimeoutError(f"nothing was taken from the pipe for {timeout_secs} s")


class FrameReader:
    """Takes frames off a pipe without ever waiting for the rest of a half-sent one."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN | select.POLLHUP)

    def frames(self, timeout_secs: float | None) -> list[Frame]:
        """All frames that are whole, after waiting up to `timeout_secs` for bytes; often none.

        Raises EOFError once the other side has closed, ValueError if what came is no frame.
        """
        if not self._poll.poll(None if timeout_secs is None else int(timeout_secs * 1000)):
            return []
        part = os.read(self._fd, _READ_BYTES)
        if not part:
            raise EOFError("the other side has closed the pipe")
        self._buffer += part
        found: list[Frame] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"frame of {length} bytes: more than {MAX_FRAME_BYTES}")
            end = start + _LENGTH.size + length
            if end > len(self._buffer):
                break
            found.append(json.loads(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return found


def pack_requests(requests: Iterable[GenerationRequest]) -> Frame:
    return [
        [item.request_id, item.prompt_token_ids, item.max_tokens, _SAMPLING_VALUES(item.sampling)]
        for item in requests
    ]


def unpack_requests(frame: Frame) -> list[GenerationRequest]:
    return [
        GenerationRequest(request_id, tuple(prompt), max_tokens, _unpack_sampling(sampling))
        for request_id, prompt, max_tokens, sampling in frame
    ]


def _unpack_sampling(values: Frame) -> Sampling:
    temperature, top_p, top_k, presence, frequency, repetition, stop, seed = values
    return Sampling(temperature, top_p, top_k, presence, frequency, repetition, tuple(stop), seed)


def pack_events(events: Iterable[Event]) -> Frame:
    """Progress has two fields and a completion eight: the length tells them apart."""
    return [
        [item.request_id, item.token_ids]
        if isinstance(item, Progress)
        else [
            item.request_id,
            item.token_ids,
            item.finish_reason,
            item.error,
            item.prompt_tokens,
            item.submitted_at,
            item.first_token_at,
            item.finished_at,
        ]
        for item in events
    ]


def unpack_events(frame: Frame) -> list[Event]:
    return [
        Progress(item[0], tuple(item[1]))
        if len(item) == 2
        else Completion(item[0], tuple(item[1]), *item[2:])
        for item in frame
    ]


def pack_sequences(sequences: Iterable[CheckedSequence]) -> Frame:
    return [list(item) for item in sequences]


def unpack_sequences(frame: Frame) -> list[CheckedSequence]:
    return [(request_id, tuple(prompt), tuple(output)) for request_id, prompt, output in frame]


def pack_checks(checks: Iterable[TokenCheck]) -> Frame:
    return [[item.request_id, item.logprobs, item.best_logprobs, item.best_token_ids] for item in checks]


def unpack_checks(frame: Frame) -> list[TokenCheck]:
    return [TokenCheck(item[0], tuple(item[1]), tuple(item[2]), tuple(item[3])) for item in frame]


def pack_metrics(metrics: EngineMetrics) -> Frame:
    return list(astuple(metrics))


def unpack_metrics(frame: Frame) -> EngineMetrics:
    return EngineMetrics(*frame)


def pack_facts(facts: EngineFacts) -> Frame:
    return [
        facts.engine,
        facts.version,
        facts.device,
        facts.dtype,
        facts.max_model_len,
        facts.attention_backend,
        facts.tensor_parallel_size,
        facts.pipeline_parallel_size,
        dict(facts.environment),
        facts.start_secs,
    ]


def unpack_facts(frame: Frame) -> EngineFacts:
    return EngineFacts(*frame)
