"""From a request on the chain to money in the worker's account, on the real node with the fake engine."""

from chain.store import receipt_key
from metainf import SelectionRecord, Selector
from protocol.lifecycle import StoreAnnounced, TaskState
from protocol.money import charge_units
from protocol.receipt import body_digest
from tests.worker.harness import DEPOSIT_UNITS, OPERATOR, chats, eventually
from worker.report import status


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
        assert document.encoded() == place.store.get(receipt_key(one), 1 << 20)
        assert document.engine["engine"] == "fake"
        assert document.body.worker == OPERATOR.address
        assert document.receipt().body == body_digest(place.market.domain, document.body)
        earned += request.tip_units + charge_units(
            request.max_fee_units, request.flat_percent, task.output_tokens, request.max_output_tokens
        )
    assert place.operator_units() == (DEPOSIT_UNITS + earned, 0)


def test_a_receipt_holds_the_choice_that_the_meta_model_makes_again(place, start):
    (one,) = place.submit(place.request(chats(5)))
    start(place.config())
    place.await_states([one], TaskState.SETTLED)
    document = place.receipt(one)
    record = SelectionRecord.from_json(document.selection)
    assert record.workload.prompts == 5
    assert bytes.fromhex(record.digest()[2:]) == document.body.strategy_digest
    assert Selector.load().replay(record).record == record


def test_the_output_store_is_announced_once(place, start, spawn):
    config = place.config()
    for _ in range(2):
        process = spawn(config)
        eventually(lambda: status(config).running, "the worker runs")
        eventually(
            lambda: any(isinstance(event, StoreAnnounced) for event in place.events()), "the announcement"
        )
        process.kill()
    announced = [event for event in place.events() if isinstance(event, StoreAnnounced)]
    assert [(event.worker, event.uri) for event in announced] == [(OPERATOR.address, place.store.url)]
