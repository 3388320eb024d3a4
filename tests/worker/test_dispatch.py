"""The thread that sends: it looks when there is reason to, outlives an outage, and reports what it cannot survive."""

import threading
import time

import pytest

from chain.rpc import RpcUnavailable
from tests.worker.harness import eventually
from worker import dispatch
from worker.dispatch import Dispatcher


class Outbox:
    """Stands in for the worker's: what `pump` does is up to the test."""

    def __init__(self, pump):
        self.open, self.planned, self.pumps = ("one",), True, 0
        self._pump = pump

    def pump(self):
        self.pumps += 1
        self.planned = False
        return self._pump()


@pytest.fixture
def dispatched(monkeypatch):
    monkeypatch.setattr(dispatch, "_LOOK_SECS", 60.0)
    started = []

    def start(pump):
        outbox, woken = Outbox(pump), threading.Event()
        dispatcher = Dispatcher(outbox, woken.set)
        dispatcher.start()
        started.append(dispatcher)
        return outbox, dispatcher, woken

    yield start
    for dispatcher in started:
        dispatcher.stop()


def test_it_looks_for_a_plan_and_for_a_block_and_not_between(dispatched):
    outbox, dispatcher, woken = dispatched(lambda: False)
    dispatcher.nudge(7)
    eventually(lambda: outbox.pumps == 1, "the plan is seen")
    for _ in range(5):
        dispatcher.nudge(7)
        time.sleep(0.01)
    assert outbox.pumps == 1
    dispatcher.nudge(8)
    eventually(lambda: outbox.pumps == 2, "the block is seen")
    outbox.planned = True
    dispatcher.nudge(8)
    eventually(lambda: outbox.pumps == 3, "the next plan is seen")
    assert not woken.is_set()


def test_outcomes_wake_the_worker(dispatched):
    _, dispatcher, woken = dispatched(lambda: True)
    dispatcher.nudge(1)
    assert woken.wait(5)


def test_an_outage_is_waited_out(dispatched, monkeypatch):
    monkeypatch.setattr(dispatch, "_LOOK_SECS", 0.05)
    answers = [RpcUnavailable("http://node", "reset"), RpcUnavailable("http://node", "reset"), None]

    def pump():
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return True

    _, dispatcher, woken = dispatched(pump)
    eventually(lambda: dispatcher.nudge(1) or woken.is_set(), "it goes on")
    assert dispatcher.failure is None


def test_what_it_cannot_survive_is_the_workers_to_raise(dispatched):
    def pump():
        raise OSError("disk full")

    outbox, dispatcher, woken = dispatched(pump)
    dispatcher.nudge(1)
    assert woken.wait(5)
    assert str(dispatcher.failure) == "disk full"
    outbox.planned = True
    dispatcher.nudge(2)
    time.sleep(0.05)
    assert outbox.pumps == 1
