"""What ends a worker or never lets it start: files of another key or chain, signals, a full disk, a defect."""

import signal
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from chain import deployment as deployments
from chain import devnet as devnets
from chain.deployer import deploy
from chain.deployment import ChainReset
from chain.rpc import RpcUnavailable
from chain.store import StoreUnavailable
from protocol.errors import QuernError
from protocol.lifecycle import TaskState
from tests.patience import PATIENCE_SECS
from tests.worker.harness import (
    OPERATOR,
    PASSWORD,
    MarketPlace,
    eventually,
)
from worker.app import Worker
from worker.errors import AnotherChain, KeyInUse, StateUnwritable
from worker.report import status


def test_a_second_worker_with_the_same_key_is_refused_wherever_its_files_are(place, start):
    start(place.config("one"))
    with pytest.raises(KeyInUse):
        Worker(place.config("two"), PASSWORD)


def test_a_key_is_free_again_once_its_worker_was_killed(place, spawn):
    first = spawn(place.config("one"))
    eventually(lambda: status(first.config).running, "the first worker runs")
    first.kill()
    second = spawn(place.config("two"))
    eventually(lambda: status(second.config).at > 0, "the second worker runs")


def test_one_database_serves_one_market(place, start):
    config = place.config()
    worker = start(config)
    eventually(lambda: status(config).at > 0, "the worker runs")
    worker.stop(now=True)
    eventually(lambda: not status(config).running, "the worker ended")
    other = deploy(place.rpc, OPERATOR, place.devnet.deployment.parameters)
    deployments.save(other, config.chain.deployment)
    with pytest.raises(AnotherChain):
        Worker(config, PASSWORD)


def test_a_chain_that_was_reset_and_a_node_that_is_away_are_refused(place):
    config = place.config()
    found = deployments.load(config.chain.deployment)
    deployments.save(replace(found, genesis_hash=b"\x01" * 32), config.chain.deployment)
    with pytest.raises(ChainReset):
        Worker(config, PASSWORD)
    deployments.save(replace(found, rpc_url="http://127.0.0.1:1"), config.chain.deployment)
    with pytest.raises(RpcUnavailable):
        Worker(config, PASSWORD)
    assert not config.state_dir.exists()


def test_sigterm_finishes_what_is_claimed_and_takes_no_more(place, spawn):
    config = place.config(slots=1, fake_tokens_per_sec=10.0)
    config = config.model_copy(update={"batches": config.batches.model_copy(update={"tasks": 1})})
    ids = place.submit(*(place.request() for _ in range(6)))
    process = spawn(config)
    eventually(lambda: TaskState.LEASED in place.states(ids), "the first claim")
    process.terminate()
    assert process.wait() == 0
    states = place.states(ids)
    assert set(states) <= {TaskState.OPEN, TaskState.SETTLED}
    assert TaskState.SETTLED in states
    assert TaskState.OPEN in states


def test_a_second_sigterm_stops_at_once_and_the_next_start_takes_the_work_up(place, spawn):
    config = place.config(fake_tokens_per_sec=2.0)
    ids = place.submit(place.request())
    process = spawn(config)
    eventually(lambda: TaskState.LEASED in place.states(ids), "the claim")
    process.terminate()
    eventually(lambda: status(config).draining, "draining")
    process.terminate()
    assert process.wait() == 0
    assert place.states(ids) == [TaskState.LEASED]
    spawn(place.config())
    place.await_states(ids, TaskState.SETTLED)


def test_a_full_disk_ends_the_worker_with_one_line_and_the_next_start_takes_up_the_work(place, start):
    ids = place.submit(*(place.request() for _ in range(40)))
    config = place.config()
    worker = Worker(config, PASSWORD)
    worker._database._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StateUnwritable, match="full"):
        worker.run()
    start(config)
    place.await_states(ids, TaskState.SETTLED)
    assert place.market.burned_units() == 0


def test_a_disk_that_fills_while_the_chain_is_read_ends_the_worker(place, monkeypatch):
    worker = Worker(place.config(), PASSWORD)
    read_on = worker._poller._follower.poll

    def filled(trail):
        worker._database._connection.execute("PRAGMA max_page_count = 1")
        return read_on(trail)

    with running_to_its_end(worker) as ended:
        eventually(lambda: worker._started is not None, "it runs")
        monkeypatch.setattr(worker._poller._follower, "poll", filled)
        place.submit(*(place.request() for _ in range(40)))
        assert ended.wait(PATIENCE_SECS)
    assert isinstance(worker._poller.failure, sqlite3.OperationalError)


def test_a_defect_in_reading_the_chain_ends_the_worker_instead_of_blinding_it(place, monkeypatch):
    worker = Worker(place.config(), PASSWORD)

    def defect(_trail):
        raise RuntimeError("nobody foresaw this")

    with running_to_its_end(worker) as ended:
        eventually(lambda: worker._started is not None, "it runs")
        monkeypatch.setattr(worker._poller._follower, "poll", defect)
        assert ended.wait(PATIENCE_SECS)


def test_whatever_ends_the_engine_host_ends_the_worker_instead_of_idling_it(place, monkeypatch):
    """Also an error that is a line in the log elsewhere."""
    worker = Worker(place.config(), PASSWORD)

    def away():
        raise StoreUnavailable("memory://", "away")

    with running_to_its_end(worker) as ended:
        eventually(lambda: worker._started is not None, "it runs")
        monkeypatch.setattr(worker._host, "_next_group", away)
        place.submit(place.request())
        assert ended.wait(PATIENCE_SECS)


@contextmanager
def running_to_its_end(worker):
    """Set when `run` has raised."""
    ended = threading.Event()

    def body():
        try:
            worker.run()
        except (QuernError, RuntimeError):
            ended.set()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield ended
    finally:
        worker.stop(now=True)
        thread.join(30)


def test_a_signal_is_taken_wherever_it_finds_the_main_loop(place):
    worker, handled = Worker(place.config(), PASSWORD), threading.Event()
    held: threading.Condition = getattr(worker._woken, "_cond")  # noqa: B009 the type does not show it

    def interrupted():
        with held:
            worker._drain._on_signal(signal.SIGTERM, None)
        handled.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert handled.wait(PATIENCE_SECS)
    assert worker.run() == 0, "it drains"


def test_a_chain_that_is_replaced_while_the_worker_runs_ends_it(tmp_path, spawn):
    home = tmp_path / "another"
    try:
        first = devnets.up(home, block_millis=None, die_with_parent=True)
        config = MarketPlace(first, home).config()
        process = spawn(config)
        eventually(lambda: status(config).running, "the worker runs")
        devnets.down(home)
        port = int(first.rpc_url.rsplit(":", 1)[1])
        second = devnets.up(home, port, block_millis=None, die_with_parent=True)
        assert second.deployment.market == first.deployment.market
        assert process.wait() == 1
        assert not status(config).running
    finally:
        devnets.down(home)
