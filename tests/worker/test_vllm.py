"""The worker on real vLLM with the demo model: killed in the middle of its work, it ends with the same money."""

import signal
import time

import pytest

from auditor.app import audit
from chain.store import manifest_key
from protocol.batchfile import Message, Prompt
from protocol.lifecycle import ResultPosted, TaskState
from protocol.manifest import build_manifest
from protocol.money import charge_units
from scripts.train_demo_model import words
from scripts.train_demo_model.story import StoryPlan
from tests.worker.harness import DEPOSIT_UNITS, MODEL_DIR, MODEL_ID, chats, eventually
from worker.kept import Kept
from worker.progress import kept_in
from worker.report import status


@pytest.mark.slow
def test_a_worker_killed_while_vllm_generates_ends_with_each_task_posted_and_paid_once(place, spawn):
    requests = [place.request(_stories(64)), place.request(chats(1, "Sort", max_tokens=12))]
    ids = place.submit(*requests)
    config = place.config(kind="vllm", slots=4, strategies=("vllm-default",))
    first = spawn(config)
    eventually(lambda: any(line.tokens_done for line in status(config).held), "tokens", 180)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert place.states(ids[:1]) == [TaskState.LEASED], "in the middle of its work"
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


def _stories(count: int) -> list[Prompt]:
    """Requests that the demo model answers at length: seconds of work."""
    names, heroes, road = words.NAMES, words.HEROES, words.ROAD[0][0]
    plans = [
        StoryPlan(names[number % len(names)], heroes[number % len(heroes)], road, 2 + number % 8)
        for number in range(count)
    ]
    return [
        Prompt(str(number), (Message("user", plan.request()),), max_tokens=96)
        for number, plan in enumerate(plans)
    ]


def _output_tokens_once_known(config) -> int:
    """Of all engines of the running worker; its snapshot is a second behind."""
    eventually(lambda: status(config).output_tokens > 0, "the snapshot counts tokens")
    time.sleep(2)
    return status(config).output_tokens


@pytest.mark.slow
def test_a_batch_half_done_when_the_worker_is_killed_is_finished_with_the_same_answers_and_not_begun_again(
    place, spawn
):
    request = place.request(_stories(64))
    [one] = place.submit(request)
    config = place.config(kind="vllm", strategies=("seqs-8",))
    log = config.state_dir / "progress.log"

    def half_done() -> Kept | None:
        kept = kept_in(log).get(one)
        return kept if kept is not None and 8 <= len(kept.completions) < 60 else None

    first = spawn(config)
    eventually(lambda: half_done() is not None, "some prompts are through", 180)
    first.kill()
    kept = kept_in(log)[one]
    assert place.states([one]) == [TaskState.LEASED]
    second = spawn(config)
    place.await_states([one], TaskState.POSTED, 180)
    made = _output_tokens_once_known(config)
    document, output = place.receipt(one), place.output(one)
    [resumed] = document.timings["resumed"]
    assert resumed["finished_prompts"] == len(kept.completions)
    assert made == document.output_tokens - resumed["tokens"]
    unfinished = len(kept.tokens) - len(kept.completions)
    assert resumed["tokens"] == kept.output_tokens - unfinished
    for number, completion in kept.completions.items():
        assert output.entries[number].token_ids == completion.token_ids
    assert document.body.started_at_ms == int(kept.started_at * 1000)
    posts = [event for event in place.events() if isinstance(event, ResultPosted) and event.task_id == one]
    assert len(posts) == 1
    # The same prompts without a kill.
    [other] = place.submit(place.request(_stories(64)))
    place.await_states([other], TaskState.POSTED, 180)
    assert place.output(other).entries == output.entries
    assert "resumed" not in place.receipt(other).timings
    second.terminate()
    place.await_states([one, other], TaskState.SETTLED, 60)
    place.store.put(manifest_key(MODEL_ID), build_manifest(MODEL_DIR).encoded())
    report = audit(one, place.rpc, place.devnet.deployment, place.store, "transformers", MODEL_DIR)
    assert [step.outcome.value for step in report.steps] == ["passed"] * 7, report
