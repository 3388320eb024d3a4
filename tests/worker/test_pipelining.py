"""The engine does not wait for the chain: while it works, the next batch is claimed and fetched and the last is posted.

The fake engine's prompts take a fixed time, so what lies between the tasks' times in it is waiting.
"""

import pytest

from protocol.lifecycle import TaskState
from tests.worker.harness import chats
from worker.report import TaskRecord, tasks

TOKENS, TOKENS_PER_S = 16, 32.0


def _idle_ms(records: list[TaskRecord]) -> int:
    """Between the first start and the last end, while no task was in the engine."""
    idle, busy_until = 0, records[0].started_ms
    for record in records:
        idle += max(0, record.started_ms - busy_until)
        busy_until = max(busy_until, record.finished_ms)
    return idle


@pytest.mark.parametrize(
    ("count", "prompts", "slots", "claimed_together"),
    [(24, 4, 8, 4), (40, 1, 4, 8)],
    ids=["batches", "single prompts"],
)
def test_between_batches_the_engine_waits_for_nothing(place, start, count, prompts, slots, claimed_together):
    config = place.config(slots=slots, fake_tokens_per_sec=TOKENS_PER_S, strategies=("vllm-default",))
    batches = config.batches.model_copy(update={"tasks": claimed_together})
    config = config.model_copy(update={"batches": batches})
    ids = place.submit(*(place.request(chats(prompts, max_tokens=TOKENS)) for _ in range(count)))
    start(config)
    place.await_states(ids, TaskState.SETTLED)
    assert len({record.claimed_block for record in tasks(config)}) > 2
    records = sorted(tasks(config), key=lambda record: record.started_ms)
    span = max(record.finished_ms for record in records) - records[0].started_ms
    worked = sum(record.finished_ms - record.started_ms for record in records)
    assert _idle_ms(records) <= 0.03 * span
    # All slots at work all the time would be 1.
    assert worked * prompts / (slots * span) >= 0.9
