"""The worker on real vLLM with the demo model: killed in the middle of its work, it ends with the same money."""

import signal

import pytest

from protocol.lifecycle import TaskState
from protocol.money import charge_units
from tests.worker.harness import DEPOSIT_UNITS, KillPoint, chats, eventually
from worker.report import status


@pytest.mark.slow
def test_a_worker_killed_while_vllm_generates_ends_with_each_task_posted_and_paid_once(place, spawn):
    requests = [place.request(chats(4, max_tokens=400)), place.request(chats(1, "Sort", max_tokens=12))]
    ids = place.submit(*requests)
    config = place.config(kind="vllm", slots=4, strategies=("vllm-default",))
    first = spawn(config, KillPoint("after", "worker.engines", "EngineHost", "_note", ("Progress",)))
    assert first.wait(180) == -signal.SIGKILL
    assert set(place.states(ids)) == {TaskState.LEASED}
    second = spawn(config)
    place.await_states(ids, TaskState.SETTLED, 180)
    eventually(lambda: status(config).settled == len(ids), "the restarted worker knows it")
    second.terminate()
    assert second.wait() == 0
    tasks = place.market.tasks(ids)
    paid = sum(
        request.tip_units
        + charge_units(
            request.max_fee_units, request.flat_percent, task.output_tokens, request.max_output_tokens
        )
        for request, task in zip(requests, tasks, strict=True)
    )
    assert place.operator_units() == (DEPOSIT_UNITS + paid, 0)
    for one, task in zip(ids, tasks, strict=True):
        document = place.receipt(one)
        assert document.engine["engine"] == "vllm"
        assert document.engine["dtype"] == "float32"
        assert document.selection["chosen"] == "vllm-default"
        assert place.output(one).output_tokens() == document.output_tokens == task.output_tokens
