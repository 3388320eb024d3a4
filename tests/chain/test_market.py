"""The contracts through their bindings: one whole life, and every refusal by its name."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chain import bindgen
from chain.bindings import EVENTS
from chain.follower import Follower
from chain.market import Account
from chain.revert import MarketRevert
from chain.words import array_of_words
from protocol.digest import ZERO_DIGEST
from protocol.lifecycle import (
    BatchPosted,
    Deposited,
    ModelAnnounced,
    PriorityRaised,
    ResultPosted,
    SkipReason,
    Standing,
    StoreAnnounced,
    TaskClaimed,
    TaskRefunded,
    TaskSettled,
    TaskSkipped,
    TaskState,
    TaskSubmitted,
    Withdrawn,
    WorkerIndexed,
)
from protocol.merkle import batch_root
from protocol.receipt import Receipt, leaf
from protocol.replay import replay
from protocol.request import task_id


def test_the_committed_bindings_are_those_of_the_interfaces():
    assert bindgen.source() == bindgen.TARGET.read_text()


_DIGESTS = st.binary(min_size=32, max_size=32)


@given(st.lists(_DIGESTS), st.lists(st.tuples(_DIGESTS, _DIGESTS, st.integers(0, 2**32 - 1))))
def test_arrays_written_by_hand_are_those_of_the_general_coder(ids, receipts):
    assert array_of_words(ids) == encode(["bytes32[]"], [ids])
    assert array_of_words(receipts) == encode(["(bytes32,bytes32,uint32)[]"], [receipts])


@pytest.mark.parametrize("value", [b"short", b"l" * 33, 2**256, -1, "0x" + "0" * 40])
def test_what_fits_no_word_is_not_written(value):
    with pytest.raises((ValueError, OverflowError)):
        array_of_words([value])


def test_a_tasks_whole_life_is_told_by_events_and_agrees_with_storage(
    rpc, market, asker, worker, make_request, pass_time
):
    parameters = market.deployment.parameters
    requests = [make_request(tip_units=tip) for tip in (1, 2, 3)]
    ids = [task_id(market.domain, request) for request in requests]

    submitted = asker.send_and_wait(market.submit_many(requests)).events
    assert [event.request for event in submitted] == requests
    assert [event.task_id for event in submitted] == ids
    assert {type(event) for event in submitted} == {TaskSubmitted}

    asker.send_and_wait(market.raise_tip(ids[0], 50))
    assert next(task for task, _ in market.queue(ids)) == ids[0]

    claimed = worker.send_and_wait(market.claim_many([*ids[:2], ids[0]])).events
    assert [type(event) for event in claimed] == [WorkerIndexed, TaskClaimed, TaskClaimed, TaskSkipped]
    assert SkipReason(claimed[-1].reason) is SkipReason.LEASE_RUNNING
    task = market.task(ids[0])
    assert (task.state, task.worker, task.tip_units) == (TaskState.LEASED, worker.address, 50)
    assert market.account(worker.address) == Account(
        98 * parameters.bond_unit_units, 2 * parameters.bond_unit_units, 1
    )

    receipts = [Receipt(ids[0], b"\7" * 32, 40), Receipt(ids[1], b"\b" * 32, 0)]
    posted = worker.send_and_wait(market.post_batch(receipts)).events
    root = batch_root([leaf(receipt) for receipt in receipts])
    assert posted[0] == BatchPosted(posted[0].at, root, worker.address, 2)
    assert [event.body for event in posted[1:]] == [b"\7" * 32, b"\b" * 32]
    assert market.batch(root).worker == worker.address
    assert market.standing(ids[0]) is Standing.POSTED

    pass_time(parameters.window_secs + 1)
    assert market.standing(ids[0]) is Standing.SETTLEABLE
    settled = asker.send_and_wait(market.settle_many(ids)).events
    assert [type(event) for event in settled] == [TaskSettled, TaskSettled, TaskSkipped]
    assert settled[0].paid_units == 100 + 900 * 40 // 100 + 50

    pass_time(3_601)
    assert market.standing(ids[2]) is Standing.EXPIRED
    refunded = worker.send_and_wait(market.expire(ids[2])).events
    assert refunded == (TaskRefunded(refunded[0].at, ids[2], 2, 1_003),)
    worker.send_and_wait(market.withdraw(1_000, worker.address))

    events = Follower(rpc, market.deployment).poll().events
    view = replay(events, parameters)
    assert {type(event) for event in events} >= {Deposited, PriorityRaised, ResultPosted, Withdrawn}
    for holder in (asker.address, worker.address):
        account = market.account(holder)
        assert view.accounts[holder].free_units == account.free_units
        assert view.accounts[holder].locked_units == account.locked_units == 0
    for view_task, stored in zip(view.tasks.values(), market.tasks(ids), strict=True):
        assert (view_task.state, view_task.output_tokens) == (stored.state, stored.output_tokens)
    assert market.balance_units() == view.totals.free_units + market.burned_units()


def test_announcements_are_events(market, asker):
    model = asker.send_and_wait(market.announce(b"\5" * 32, "models/x/manifest.json")).events
    store = asker.send_and_wait(market.announce_store("file:///store")).events
    assert model == (ModelAnnounced(model[0].at, b"\5" * 32, asker.address, "models/x/manifest.json"),)
    assert store == (StoreAnnounced(store[0].at, asker.address, "file:///store"),)


def test_bytes_that_are_no_text_keep_the_tasks_id(market, asker, make_request):
    """A stranger may submit any bytes as the address of the input; reading them must not stop a follower."""
    call = market.submit(make_request(input_uri="inputs/MARK"))
    strange = type(call)(call.name, call.to, call.data.replace(b"MARK", b"\xff\xfe\x80\0"), call.value_wei)
    event = asker.send_and_wait(strange).events[0]
    assert event.request.input_uri == "inputs/\udcff\udcfe\udc80\0"
    assert task_id(market.domain, event.request) == event.task_id


def test_an_unknown_task_is_none(market):
    assert market.task(b"\x99" * 32).state is TaskState.NONE
    assert market.standing(b"\x99" * 32) is Standing.NONE
    assert market.batch(ZERO_DIGEST).worker == ""
    assert market.queue([b"\x99" * 32]) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"replicas": 2}, "BadReplicas"),
        ({"replicas": 3}, "NoEquivalence"),
        ({"max_output_tokens": 0}, "NoOutputTokens"),
        ({"flat_percent": 101}, "FlatPercentTooHigh"),
        ({"bond_units": 0}, "NoBond"),
        ({"lease_secs": 4}, "LeaseTooShort"),
        ({"deadline": 1}, "DeadlineTooSoon"),
        ({"deadline": 2**32 - 1}, "DeadlineTooFar"),
        ({"max_fee_units": 10**9}, "InsufficientFree"),
        ({"requester": "0x90F79bf6EB2c4f870365E785982E1f101E93b906"}, "NotRequester"),
    ],
)
def test_a_request_the_market_refuses_is_named_and_not_sent(rpc, market, asker, make_request, change, name):
    before = rpc.nonce(asker.address)
    with pytest.raises(MarketRevert) as caught:
        asker.send_and_wait(market.submit(make_request(**change)))
    assert caught.value.name == name
    assert caught.value.exit_status == 2
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert rpc.nonce(asker.address) == before


def test_other_refusals_are_named_with_their_values(market, asker, worker, make_request):
    request = make_request()
    tid = task_id(market.domain, request)
    asker.send_and_wait(market.submit(request))
    refusals = {
        "WrongState": (market.submit(request), asker),
        "NotRequester": (market.cancel(tid), worker),
        "TipNotRaised": (market.raise_tip(tid, 5), asker),
        "DeadlineNotPassed": (market.expire(tid), worker),
        "ZeroAddress": (market.withdraw(1, "0x" + "0" * 40), asker),
        "InsufficientFree": (market.withdraw(10**9, asker.address), asker),
    }
    for name, (call, sender) in refusals.items():
        with pytest.raises(MarketRevert) as caught:
            market.simulate(call, sender.address)
        assert caught.value.name == name
    with pytest.raises(MarketRevert) as lacking:
        market.simulate(market.withdraw(10**9, asker.address), asker.address)
    assert lacking.value.values["needed"] == 10**9


def test_every_event_of_the_interfaces_has_a_decoder():
    assert len(EVENTS) == 37
