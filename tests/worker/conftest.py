"""A market for each test, and workers that never outlive it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from chain.devnet import Devnet
from tests.worker.harness import PASSWORD, MarketPlace, Point, WorkerProcess
from worker.app import Worker
from worker.config import WorkerConfig


@pytest.fixture
def place(devnet: Devnet, tmp_path: Path) -> MarketPlace:
    return MarketPlace(devnet, tmp_path)


@contextmanager
def running(config: WorkerConfig) -> Iterator[Worker]:
    """A worker on a thread of this process; its failure is the test's."""
    worker = Worker(config, PASSWORD)
    failures: list[BaseException] = []

    def body() -> None:
        try:
            worker.run()
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop(now=True)
        thread.join(30)
    assert not failures


@pytest.fixture
def start(place: MarketPlace) -> Iterator[Callable[[WorkerConfig], Worker]]:
    """Starts workers on threads; stops them after the test."""
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(running(config))


@pytest.fixture
def spawn(place: MarketPlace) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers as processes; kills what is left of them after the test."""
    spawned: list[WorkerProcess] = []

    def start(config: WorkerConfig, kill_at: Point | None = None) -> WorkerProcess:
        spawned.append(WorkerProcess(config, kill_at))
        return spawned[-1]

    try:
        yield start
    finally:
        for process in spawned:
            process.kill()
