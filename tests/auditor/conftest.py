"""A served task, and the auditor's own engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.token_step import checker
from chain.devnet import Devnet
from engine.base import Engine
from tests.auditor.support import MODEL_DIR, Bench


@pytest.fixture(scope="session")
def second_opinion() -> Iterator[Engine]:
    """The demo model under transformers, in a child process."""
    with checker("transformers", MODEL_DIR) as engine:
        yield engine


@pytest.fixture
def bench(devnet: Devnet, tmp_path: Path, second_opinion: Engine) -> Bench:
    return Bench(devnet, tmp_path, second_opinion)
