"""The engine does not wait for the chain: while it works, what is behind is claimed, and what is done is posted.

How little it waits is what `scripts/bench/overhead` measures; here it is only that nothing waits for a task that takes
long.
"""

import pytest

from protocol.lifecycle import TaskState
from tests.worker.harness import chats, eventually
from worker.report import status

SLOW_TOKENS_PER_S = 2.0
SHORT, LONG = 2, 400


@pytest.fixture
def pipeline(place, start):
    """Starts a worker on tasks of so many tokens, to be claimed in that order; what it returns says how far each is."""

    def of(*lengths, slots):
        ids = place.submit(
            *(
                place.request(chats(number + 1, max_tokens=length)[-1:], tip_units=length * (10_000 - number))
                for number, length in enumerate(lengths)
            )
        )
        config = place.config(
            slots=slots, fake_tokens_per_sec=SLOW_TOKENS_PER_S, strategies=("vllm-default",)
        )
        batches = config.batches.model_copy(update={"tasks": 1})
        start(config.model_copy(update={"batches": batches}))

        def stages():
            held = {line.task_id: line.stage for line in status(config).held}
            return [
                held.get(one, state.name.lower()) for one, state in zip(ids, place.states(ids), strict=True)
            ]

        return stages

    return of


def test_while_a_batch_generates_the_last_is_posted_and_the_next_claimed(pipeline):
    stages = pipeline(SHORT, LONG, SHORT, slots=1)
    done = {TaskState.POSTED.name.lower(), TaskState.SETTLED.name.lower()}
    eventually(
        lambda: stages()[0] in done and stages()[1:] == ["running", "queued"],
        "the first is posted and the third claimed while the second is in the engine",
    )


def test_a_place_that_becomes_free_beside_a_long_task_is_taken_at_once(pipeline):
    stages = pipeline(LONG, SHORT, LONG, slots=2)
    eventually(lambda: stages()[0] == stages()[2] == "running", "the third joins the first in the engine")
