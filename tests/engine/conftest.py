"""One engine of each kind for the whole session, each in its child process; stopping them must leave nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from engine.base import EngineConfig, EngineFacts, EngineKind
from engine.child import ChildEngine
from engine.tokenizer import Tokenizer
from tests.engine.support import (
    ENGINE_ARGS,
    LONG_ANSWER,
    MODEL_DIR,
    START_SECS,
    group_members,
    long_prompt,
    until,
)


@dataclass(frozen=True)
class Running:
    """`long_prompt` has a greedy answer of at least `LONG_ANSWER` tokens from this engine."""

    kind: EngineKind
    engine: ChildEngine
    facts: EngineFacts
    long_prompt: tuple[int, ...]


def _running(kind: EngineKind) -> Iterator[Running]:
    engine = ChildEngine(kind, EngineConfig(MODEL_DIR, ENGINE_ARGS[kind]))
    try:
        facts = engine.start(START_SECS)
        group = engine.pid
        assert group is not None
        yield Running(kind, engine, facts, long_prompt(engine, Tokenizer(MODEL_DIR), LONG_ANSWER))
    finally:
        engine.stop()
    engine.stop()
    until(lambda: not group_members(group), f"{kind} engine: stop left processes of its group")


@pytest.fixture(scope="session")
def fake() -> Iterator[Running]:
    yield from _running("fake")


@pytest.fixture(scope="session")
def transformers() -> Iterator[Running]:
    yield from _running("transformers")


@pytest.fixture(scope="session")
def vllm() -> Iterator[Running]:
    yield from _running("vllm")


@pytest.fixture(params=["fake", "transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def running(request: pytest.FixtureRequest) -> Running:
    """Each kind in turn."""
    found: Running = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def real(request: pytest.FixtureRequest) -> Running:
    """Each kind that runs a model."""
    found: Running = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer(MODEL_DIR)
