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
from tests.worker.harness import DEPOSIT_UNITS, MODEL_DIR, MODEL_ID, eventually
from worker.kept import Kept
from worker.progress import kept_in
from worker.report import status


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
def test_a_batch_half_done_when_the_worker_is_killed_is_finished_with_the_same_answers_and_paid_once(
    place, spawn
):
    requests = [place.request(_stories(64)) for _ in range(2)]
    [one] = place.submit(requests[0])
    config = place.config(kind="vllm", strategies=("seqs-8",))
    log = config.state_dir / "progress.log"

    def half_done() -> Kept | None:
        kept = kept_in(log).get(one)
        return kept if kept is not None and 8 <= len(kept.completions) < 60 else None

    first = spawn(config)
    eventually(lambda: half_done() is not None, "some prompts are through", 180)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    kept = kept_in(log)[one]
    assert place.states([one]) == [TaskState.LEASED], "in the middle of its work"
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
    # The same prompts without a kill.
    [other] = place.submit(requests[1])
    place.await_states([other], TaskState.POSTED, 180)
    assert place.output(other).entries == output.entries
    assert "resumed" not in place.receipt(other).timings
    place.await_states([one, other], TaskState.SETTLED)
    eventually(lambda: status(config).settled == 2, "the restarted worker knows it")
    second.terminate()
    assert second.wait() == 0
    posts = [event.task_id for event in place.events() if isinstance(event, ResultPosted)]
    assert sorted(posts) == sorted((one, other))
    paid = 0
    for task_id, asked in zip((one, other), requests, strict=True):
        task, document = place.market.task(task_id), place.receipt(task_id)
        assert (document.engine["engine"], document.engine["dtype"]) == ("vllm", "float32")
        assert document.selection["chosen"] == "seqs-8"
        assert place.output(task_id).output_tokens() == document.output_tokens == task.output_tokens
        paid += asked.tip_units + charge_units(
            asked.max_fee_units, asked.flat_percent, task.output_tokens, asked.max_output_tokens
        )
    assert place.operator_units() == (DEPOSIT_UNITS + paid, 0)
    place.store.put(manifest_key(MODEL_ID), build_manifest(MODEL_DIR).encoded())
    report = audit(one, place.rpc, place.devnet.deployment, place.store, "transformers", MODEL_DIR)
    assert [step.outcome.value for step in report.steps] == ["passed"] * 7, report
