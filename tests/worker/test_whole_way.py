"""From a request on the chain to money in the worker's account, on the real node with the fake engine."""

from protocol.lifecycle import TaskState
from protocol.money import charge_units
from protocol.receipt import body_digest
from tests.worker.harness import DEPOSIT_UNITS, OPERATOR, chats


def test_tasks_are_served_posted_settled_and_paid(place, start):
    requests = [place.request(chats(count)) for count in (1, 3, 64)]
    ids = place.submit(*requests)
    start(place.config())
    place.await_states(ids, TaskState.SETTLED)
    earned = 0
    for one, request in zip(ids, requests, strict=True):
        output, document = place.output(one), place.receipt(one)
        task = place.market.task(one)
        assert [entry.custom_id for entry in output.entries] == [f"q{n}" for n in range(len(output.entries))]
        assert output.output_tokens() == document.output_tokens == task.output_tokens > 0
        assert output.root() == document.body.output_root
        assert document.engine["engine"] == "fake"
        assert document.body.worker == OPERATOR.address
        assert document.receipt().body == body_digest(place.market.domain, document.body)
        earned += request.tip_units + charge_units(
            request.max_fee_units, request.flat_percent, task.output_tokens, request.max_output_tokens
        )
    assert place.operator_units() == (DEPOSIT_UNITS + earned, 0)
