"""What the world can throw at a worker while it works; afterwards money and store are as if nothing had happened."""

import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from chain.devnet import dev_account
from chain.sender import Sender
from chain.store import input_key
from protocol.batchfile import Prompt
from protocol.lifecycle import TaskState, TaskSubmitted
from protocol.money import charge_units
from protocol.request import task_id
from tests.worker.harness import (
    DEPOSIT_UNITS,
    chats,
    codes,
    eventually,
    kill_engine_of,
    stop_engine_of,
)
from worker.database import Database
from worker.report import status, tasks


def paid_units(place, ids, requests):
    found = place.market.tasks(ids)
    return sum(
        request.tip_units
        + charge_units(
            request.max_fee_units, request.flat_percent, task.output_tokens, request.max_output_tokens
        )
        for task, request in zip(found, requests, strict=True)
    )


def test_tasks_that_cannot_be_served_are_declined_with_a_reason_and_the_rest_goes_on(place, start):
    good = place.request()
    missing = place.request(input_digest=b"\x77" * 32)
    wrong = place.request()
    place.store.put(input_key(wrong.input_digest), b"something else")
    malformed_bytes = b'{"quern": 1, "salt": "0x00"}\n'
    malformed_digest = place.put_bytes(malformed_bytes)
    malformed = place.request(input_digest=malformed_digest)
    long = place.request([Prompt("long", prompt="word " * 5_000)])
    greedy_for_tokens = place.request(chats(2, max_tokens=50), max_output_tokens=99)
    unknown_params = place.request(params_digest=b"\x55" * 32)
    unknown_model = place.request(model_id=b"\x66" * 32)
    elsewhere = place.request(input_uri="ftp://example.org/x")
    outside = place.request(input_uri="../../etc/passwd")
    folder = place.request(input_uri="inputs")
    nowhere = place.request(input_uri=f"{place.store.url}/nowhere/input")
    cheap = place.request(max_fee_units=1, tip_units=0)
    rich_bond = place.request(bond_units=2_000)
    expected = {
        "FETCH-001": missing,
        "FETCH-002": wrong,
        "FETCH-004": malformed,
        "CLAIM-010": long,
        "CLAIM-005": greedy_for_tokens,
        "FETCH-006": unknown_params,
        "CLAIM-002": unknown_model,
        "FETCH-007": elsewhere,
        "FETCH-009": nowhere,
        "CLAIM-007": cheap,
        "CLAIM-004": rich_bond,
    }
    bad = dict(zip(expected, place.submit(*expected.values()), strict=True))
    outside_id, folder_id = place.submit(outside, folder)
    (good_id,) = place.submit(good)
    config = place.config()
    start(config)
    place.await_states([good_id], TaskState.SETTLED)
    eventually(lambda: status(config).declined == len(bad) + 2, "all bad tasks declined")
    for code, one in bad.items():
        assert codes(config, one) == [code]
    assert codes(config, outside_id) == ["FETCH-007"]
    assert codes(config, folder_id) == ["FETCH-001"]
    assert set(place.states([*bad.values(), outside_id, folder_id])) == {TaskState.OPEN}


def test_an_address_that_is_no_text_stops_no_worker(place, start):
    """The market takes any bytes as an input's address."""
    name = b"NO-UTF-8"
    request = place.request(input_uri=f"inputs/{name.decode()}", tip_units=10_000_000)
    submission = place.market.submit(request, request.max_fee_units + request.tip_units)
    odd = submission.data.replace(name, b"\xff\xfe\x00\x1b[1m\x80")
    assert odd != submission.data
    assert place.requester.send_and_wait(replace(submission, data=odd)).success
    (good,) = place.submit(place.request())
    config = place.config()
    start(config)
    place.await_states([good], TaskState.SETTLED)
    eventually(lambda: status(config).declined == 1, "the odd one declined")
    (bad,) = (
        event.task_id
        for event in place.events()
        if isinstance(event, TaskSubmitted) and event.task_id != good
    )
    assert codes(config, bad) == ["FETCH-007"]
    known = Database(config.database, read_only=True)
    kept = known.task(bad)
    assert kept is not None
    assert task_id(place.market.domain, kept.request) == bad
    known.close()


def test_a_prompt_longer_than_the_window_becomes_an_error_entry_and_the_others_are_served(place, start):
    prompts = [*chats(2), Prompt("long", prompt="word " * 5_000)]
    (one,) = place.submit(place.request(prompts))
    start(place.config())
    place.await_states([one], TaskState.SETTLED)
    entries = place.output(one).entries
    assert [entry.error is None for entry in entries] == [True, True, False]
    assert (entries[2].token_ids, entries[2].finish_reason) == ((), "error")
    assert [row.finish_reason for row in place.receipt(one).table][2] == "error"


def test_a_store_that_is_away_is_waited_for(place, start):
    request = place.request()
    (one,) = place.submit(request)
    folder, aside = place.home / "store", place.home / "aside"
    folder.rename(aside)
    config = place.config()
    start(config)
    eventually(lambda: "FETCH-005" in codes(config, one), "the worker asks in vain")
    aside.rename(folder)
    place.await_states([one], TaskState.SETTLED)


def test_a_later_task_with_a_higher_tip_is_claimed_before_earlier_ones(place, start):
    config = place.config(slots=1, fake_tokens_per_sec=15.0)
    config = config.model_copy(update={"batches": config.batches.model_copy(update={"tasks": 1})})
    early = place.submit(*(place.request() for _ in range(5)))
    start(config)
    eventually(lambda: status(config).held != (), "the first claim")
    (late,) = place.submit(place.request(tip_units=5_000_000))
    submitted = place.rpc.block_number()
    place.await_states([*early, late], TaskState.SETTLED)
    order = [record.task_id for record in tasks(config)]
    before = sum(record.claimed_block <= submitted for record in tasks(config))
    # One claim may have been on its way; the late one overtook all others.
    assert order.index(late) <= before + 1 < len(early)
    assert [record.claimed_block for record in tasks(config)] == sorted(
        record.claimed_block for record in tasks(config)
    )


def test_an_engine_that_dies_is_replaced_and_its_tasks_are_run_again(place, start):
    requests = [place.request(chats(2)) for _ in range(2)]
    ids = place.submit(*requests)
    config = place.config(fake_tokens_per_sec=8.0)
    start(config)
    eventually(lambda: any(line.tokens_done for line in status(config).held), "tokens")
    assert kill_engine_of(os.getpid())
    place.await_states(ids, TaskState.SETTLED)
    assert any("RUN-003" in codes(config, one) for one in ids)
    assert status(config).engine_restarts >= 1


def test_a_task_the_engine_fails_on_too_often_is_given_back_and_not_claimed_again(place, start):
    config = place.config(fake_tokens_per_sec=2.0, attempts=1)
    (one,) = place.submit(place.request())
    start(config)
    eventually(lambda: any(line.stage == "running" for line in status(config).held), "the engine works on it")
    assert kill_engine_of(os.getpid())
    eventually(lambda: "CLAIM-008" in codes(config, one), "given back and declined")
    assert codes(config, one) == ["CLAIM-020", "RUN-001", "RUN-003", "RELEASE-001", "CLAIM-008"]
    assert place.states([one]) == [TaskState.OPEN]
    bond_units = place.devnet.deployment.parameters.bond_unit_units
    assert place.market.burned_units() == bond_units * 5 // 100
    assert status(config).lost == 1


def test_a_lease_that_lapsed_while_the_worker_was_dead_is_still_met_if_nobody_took_it(place, spawn):
    (one,) = place.submit(place.request())
    config = place.config(fake_tokens_per_sec=1.0)
    first = spawn(config)
    eventually(lambda: place.states([one]) == [TaskState.LEASED], "the claim")
    first.kill()
    place.rpc.call("evm_increaseTime", 301)
    place.rpc.call("evm_mine")
    spawn(place.config())
    place.await_states([one], TaskState.SETTLED)
    assert place.market.burned_units() == 0


def test_a_lease_that_another_worker_took_over_is_lost_and_let_go(place, start):
    config = place.config(fake_tokens_per_sec=1.0)
    (one,) = place.submit(place.request())
    start(config)
    eventually(lambda: any(line.stage == "running" for line in status(config).held), "the engine works on it")
    place.rpc.call("evm_increaseTime", 301)
    place.rpc.call("evm_mine")
    rival = Sender(place.rpc, dev_account(3))
    rival.send_and_wait(place.market.deposit(rival.address, DEPOSIT_UNITS))
    rival.send_and_wait(place.market.claim_many([one]))
    eventually(lambda: "LOST-002" in codes(config, one), "the loss is noticed")
    eventually(lambda: status(config).held == (), "the engine lets go")
    assert place.market.task(one).worker == rival.address
    assert (status(config).lost, status(config).burned_units) == (
        1,
        place.devnet.deployment.parameters.bond_unit_units,
    )


@pytest.mark.parametrize("jump_secs", [86_400, -86_400])
def test_a_machine_whose_clock_is_put_forward_or_back_goes_on_as_before(place, start, monkeypatch, jump_secs):
    """What was to be tried again in two seconds is, and not in a day."""
    ids = place.submit(place.request(), place.request(chats(2)))
    folder, aside = place.home / "store", place.home / "aside"
    folder.rename(aside)
    config = place.config()
    start(config)
    eventually(lambda: all("FETCH-005" in codes(config, one) for one in ids), "the worker asks in vain")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_secs)
    aside.rename(folder)
    place.await_states(ids, TaskState.SETTLED)
    assert place.market.burned_units() == 0


def test_a_node_that_says_nothing_for_a_while_is_waited_for(place, start):
    config = place.config()
    chain = config.chain.model_copy(update={"timeout_secs": 1.0})
    start(config.model_copy(update={"chain": chain}))
    early = place.submit(place.request())
    place.await_states(early, TaskState.POSTED)
    os.kill(place.devnet.pid, signal.SIGSTOP)
    try:
        time.sleep(3)
    finally:
        os.kill(place.devnet.pid, signal.SIGCONT)
    late = place.submit(place.request())
    place.await_states([*early, *late], TaskState.SETTLED)
    assert place.market.burned_units() == 0


def test_a_node_that_hangs_while_the_worker_starts_is_waited_for(place, start):
    config = place.config()
    chain = config.chain.model_copy(update={"timeout_secs": 0.2})
    ids = place.submit(place.request())
    os.kill(place.devnet.pid, signal.SIGSTOP)
    waking = threading.Timer(6, os.kill, (place.devnet.pid, signal.SIGCONT))
    waking.start()
    try:
        start(config.model_copy(update={"chain": chain}))
    finally:
        waking.join()
    place.await_states(ids, TaskState.SETTLED)


def test_an_engine_that_hangs_is_replaced_and_its_task_is_run_again(place, start):
    (one,) = place.submit(place.request())
    config = place.config(fake_tokens_per_sec=4.0, hang_secs=2.0)
    start(config)
    eventually(lambda: any(line.tokens_done for line in status(config).held), "tokens")
    assert stop_engine_of(os.getpid())
    eventually(lambda: "RUN-003" in codes(config, one), "it is noticed")
    place.await_states([one], TaskState.SETTLED)
    assert status(config).engine_failures >= 1


def test_a_task_that_a_reorganisation_took_away_and_brought_back_is_not_run_again(place, spawn):
    """Its first post may be mined after all, and a demand must be answered with what was posted."""
    fork = place.rpc.call("evm_snapshot")
    request = place.request()
    (one,) = place.submit(request)
    config = place.config()
    first = spawn(config)
    place.await_states([one], TaskState.POSTED)
    first.kill()
    body, height = place.receipt(one).body, place.rpc.block_number()
    assert place.rpc.call("evm_revert", fork) is True
    while place.rpc.block_number() < height:
        place.rpc.call("evm_mine")
    place.submit(request)
    second = spawn(config)
    place.await_states([one], TaskState.SETTLED)
    eventually(lambda: status(config).settled == 1, "the worker knows it")
    second.terminate()
    assert second.wait() == 0
    assert place.receipt(one).body == body
    assert codes(config, one).count("RUN-002") == 1
