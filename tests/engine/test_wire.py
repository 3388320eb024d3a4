"""Frames survive any cut of the byte stream, and every type comes out as it went in."""

import contextlib
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import wire
from engine.base import (
    Completion,
    EngineFacts,
    EngineMetrics,
    GenerationRequest,
    Progress,
    Sampling,
    TokenCheck,
)

token_tuples = st.lists(st.integers(0, 2**20), max_size=6).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
samplings = st.builds(
    Sampling,
    temperature=numbers,
    stop=st.lists(st.text(), max_size=3).map(tuple),
    seed=st.integers(0, 2**63 - 1),
)
requests = st.builds(GenerationRequest, st.text(), token_tuples, st.integers(), samplings)
events = st.one_of(
    st.builds(Progress, st.text(), token_tuples),
    st.builds(
        Completion,
        st.text(),
        token_tuples,
        st.sampled_from(["stop", "length", "error"]),
        st.none() | st.text(),
        st.integers(),
        numbers,
        st.none() | numbers,
        numbers,
    ),
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(fd)


def through_a_pipe(frame: wire.Frame) -> wire.Frame:
    reading, writing = os.pipe()
    try:
        wire.send(writing, frame)
        (received,) = wire.FrameReader(reading).frames(1.0)
    finally:
        os.close(reading)
        os.close(writing)
    return received


@given(st.lists(requests, max_size=4))
def test_requests_come_out_as_they_went_in(given_requests: list[GenerationRequest]):
    assert wire.unpack_requests(through_a_pipe(wire.pack_requests(given_requests))) == given_requests


@given(st.lists(events, max_size=4))
def test_events_come_out_as_they_went_in(given_events: list[Progress | Completion]):
    assert wire.unpack_events(through_a_pipe(wire.pack_events(given_events))) == given_events


def test_checks_metrics_sequences_and_facts_come_out_as_they_went_in():
    checks = [TokenCheck("a", (-0.5, -1e-9), (-0.25, 0.0), (3, 4))]
    sequences = [("a", (1, 2), (3,)), ("b", (4,), ())]
    metrics = EngineMetrics(1, 2, 3, 4, 5, 6, 7, 8)
    facts = EngineFacts("fake", "1", "cpu", "float32", 9, "none", 1, 1, {"A": "b"}, 0.5)
    assert wire.unpack_checks(through_a_pipe(wire.pack_checks(checks))) == checks
    assert wire.unpack_sequences(through_a_pipe(wire.pack_sequences(sequences))) == sequences
    assert wire.unpack_metrics(through_a_pipe(wire.pack_metrics(metrics))) == metrics
    assert wire.unpack_facts(through_a_pipe(wire.pack_facts(facts))) == facts


def test_frames_are_found_wherever_the_stream_is_cut(pipe: tuple[int, int]):
    reading, writing = pipe
    frames: list[wire.Frame] = [["a", 1], ["b", "ü" * 50], ["c", [1, 2, 3]]]
    side_reading, side_writing = os.pipe()
    for frame in frames:
        wire.send(side_writing, frame)
    os.close(side_writing)
    stream = os.read(side_reading, 1 << 16)
    os.close(side_reading)
    reader, found = wire.FrameReader(reading), []
    for byte in stream:
        os.write(writing, bytes([byte]))
        found += reader.frames(1.0)
    assert found == frames


def test_no_bytes_are_no_frames_and_a_closed_pipe_is_the_end(pipe: tuple[int, int]):
    reading, writing = pipe
    reader = wire.FrameReader(reading)
    assert reader.frames(0.01) == []
    os.close(writing)
    with pytest.raises(EOFError):
        reader.frames(1.0)


@pytest.mark.parametrize("garbage", [struct.pack(">I", 2**32 - 1) + b"x", struct.pack(">I", 3) + b"{-}"])
def test_what_is_no_frame_is_an_error_and_not_a_wait(pipe: tuple[int, int], garbage: bytes):
    reading, writing = pipe
    os.write(writing, garbage)
    with pytest.raises(ValueError, match=r"frame of|Expecting"):
        wire.FrameReader(reading).frames(1.0)
