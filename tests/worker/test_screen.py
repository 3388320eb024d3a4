"""What an operator sees of a worker: while it works, waits, starts, drains, and after its end."""

import errno
import logging
import os
import re
import signal
import threading
from io import StringIO

import pytest
from rich.console import Console

from chain import follower
from chain.chaos import Chaos
from chain.schedule import Schedule
from protocol.lifecycle import TaskState
from tests.patience import PATIENCE_SECS
from tests.worker.harness import PASSWORD, eventually
from worker import gauge, report, screen
from worker.app import Worker
from worker.config import WorkerConfig
from worker.fleet import Fleet
from worker.screen import Screen


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_view_fits_the_terminal_and_shows_what_goes_on(place, start, width):
    config = place.config(fake_tokens_per_sec=4.0)
    ids = place.submit(*(place.request() for _ in range(3)))
    start(config)
    eventually(lambda: any(line.tokens_done for line in report.status(config).held), "tokens")
    shown = StringIO()
    screen = Screen(config, Console(file=shown, width=width, force_terminal=True, color_system=None))
    record = logging.LogRecord("quern", logging.INFO, "", 0, f"0x{'ab' * 32} \x1b[2Jgone\nforged", None, None)
    screen.emit(record)
    with screen.shown():
        pass
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for word in (
        "queue",
        "3 leased",
        "the next lease ends in",
        "strategy",
        "tokens/s",
        "earned",
        "transactions",
    ):
        assert word in text
    assert all(f"0x{one.hex()[:12]}" in text for one in ids)
    assert "0xabababababab \\x1b[2Jgone\\x0aforged" in text


def shown_status(config: WorkerConfig) -> str:
    shown = StringIO()
    Console(file=shown, width=120).print(screen.render(report.status(config)))
    return " ".join(shown.getvalue().split())


def test_status_says_that_the_chain_does_not_answer(place, start, monkeypatch):
    monkeypatch.setattr(screen, "_LATE_SECS", 1.0)
    with Chaos(place.devnet.rpc_url, Schedule(1, {}), lambda _: None) as node:
        config = place.config()
        config = config.model_copy(update={"chain": config.chain.model_copy(update={"rpc_url": node.url})})
        start(config)
        eventually(lambda: report.status(config).block > 0, "the chain is read")
        assert "has not answered" not in shown_status(config)
    eventually(lambda: "the chain has not answered for" in shown_status(config), "it says so")
    assert report.status(config).state is report.State.RUNNING


def test_a_worker_with_nothing_to_do_is_idle(place, start, monkeypatch):
    monkeypatch.setattr(gauge, "_SPEED_WINDOW_SECS", 0.5)
    config = place.config(fake_tokens_per_sec=20.0)
    (one,) = place.submit(place.request())
    start(config)
    eventually(lambda: report.status(config).tokens_per_s > 0, "tokens come")
    assert "idle" not in shown_status(config)
    place.await_states([one], TaskState.SETTLED)
    eventually(lambda: "idle" in shown_status(config), "it is idle")
    assert report.status(config).tokens_per_s == 0


def test_an_engine_that_is_being_started_is_named(place, start, monkeypatch):
    goes_on = threading.Event()
    start_engine = Fleet.start

    def slowly(self, *arguments):
        assert goes_on.wait(PATIENCE_SECS)
        start_engine(self, *arguments)

    monkeypatch.setattr(Fleet, "start", slowly)
    config = place.config()
    (one,) = place.submit(place.request())
    start(config)
    eventually(lambda: "engine starting " in shown_status(config), "the strategy that starts")
    goes_on.set()
    place.await_states([one], TaskState.SETTLED)
    eventually(lambda: "engine fake" in shown_status(config), "the engine is up")
    assert report.status(config).starting == ""


class ClosedTerminal(StringIO):
    """Takes some writes and no more."""

    left = 5

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def test_a_terminal_that_is_closed_ends_the_view_and_not_the_worker(place, start, caplog):
    config = place.config()
    view = Screen(config, Console(file=ClosedTerminal(), width=80, force_terminal=True))
    with view.shown():
        start(config)
        (one,) = place.submit(place.request())
        eventually(lambda: "the live view has ended" in caplog.text, "the log says so")
        place.await_states([one], TaskState.SETTLED)
    assert caplog.text.count("the live view has ended") == 1


def test_status_tells_running_draining_killed_and_stopped_apart(place, spawn):
    config = place.config(fake_tokens_per_sec=4.0)
    assert "never ran" in shown_status(config)
    state = report.State
    place.submit(place.request())
    first = spawn(config)
    eventually(lambda: report.status(config).state is state.RUNNING, "it runs")
    eventually(lambda: any(line.tokens_done for line in report.status(config).held), "it generates")
    first.kill()
    assert report.status(config).state is state.KILLED
    assert report.status(config).tokens_per_s == 0
    assert "ended without a clean stop" in shown_status(config)
    second = spawn(config)
    eventually(lambda: report.status(config).state is state.STARTING, "the next one reads the chain")
    eventually(lambda: report.status(config).state is state.RUNNING, "the next one runs")
    second.terminate()
    eventually(lambda: report.status(config).state is state.DRAINING, "it drains")
    assert second.wait() == 0
    assert report.status(config).state is state.STOPPED
    assert "engine none;" in shown_status(config)


@pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="what nohup starts ignores the signal for good"
)
def test_a_closed_terminal_drains_a_worker_however_often_it_says_so(place, spawn):
    config = place.config(fake_tokens_per_sec=10.0)
    (one,) = place.submit(place.request())
    process = spawn(config)
    place.await_states([one], TaskState.LEASED)
    for _ in range(2):
        assert process.pid is not None
        os.kill(process.pid, signal.SIGHUP)
    assert process.wait() == 0
    assert place.states([one]) == [TaskState.SETTLED]


def test_a_worker_that_is_stopped_while_it_reads_the_chain_reads_no_further(place, monkeypatch):
    monkeypatch.setattr(follower, "_MAX_RANGE", 1)
    place.rpc.call("hardhat_mine", "0x20")
    worker = Worker(place.config(), PASSWORD)
    looks = 0
    poll = worker._poller._follower.poll

    def stopped_at_the_third(trail):
        nonlocal looks
        looks += 1
        if looks == 3:
            worker.stop()
        return poll(trail)

    monkeypatch.setattr(worker._poller._follower, "poll", stopped_at_the_third)
    assert worker.run() == 0
    assert looks == 3
    assert report.status(place.config()).state is report.State.STOPPED
