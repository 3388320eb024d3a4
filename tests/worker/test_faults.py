"""What the world can throw at a worker while it works; afterwards money and store are as if nothing had happened."""

import os
import signal
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from chain import deployment as deployments
from chain import devnet as devnets
from chain.deployer import deploy
from chain.deployment import ChainReset
from chain.devnet import dev_account
from chain.rpc import RpcUnavailable
from chain.sender import Sender
from chain.store import StoreUnavailable, input_key
from protocol.batchfile import Prompt
from protocol.errors import QuernError
from protocol.lifecycle import TaskState, TaskSubmitted
from protocol.money import charge_units
from protocol.request import task_id
from tests.worker.harness import (
    DEPOSIT_UNITS,
    OPERATOR,
    PASSWORD,
    MarketPlace,
    chats,
    codes,
    eventually,
    kill_engine_of,
    stop_engine_of,
)
from worker.app import Worker
from worker.database import Database
from worker.errors import AnotherChain, KeyInUse, StateUnwritable
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


def test_a_second_worker_with_the_same_key_is_refused_wherever_its_files_are(place, start):
    start(place.config("one"))
    with pytest.raises(KeyInUse):
        Worker(place.config("two"), PASSWORD)


def test_a_key_is_free_again_once_its_worker_was_killed(place, spawn):
    first = spawn(place.config("one"))
    eventually(lambda: status(first.config).running, "the first worker runs")
    first.kill()
    second = spawn(place.config("two"))
    eventually(lambda: status(second.config).at > 0, "the second worker runs")


def test_one_database_serves_one_market(place, start):
    config = place.config()
    worker = start(config)
    eventually(lambda: status(config).at > 0, "the worker runs")
    worker.stop(now=True)
    eventually(lambda: not status(config).running, "the worker ended")
    other = deploy(place.rpc, OPERATOR, place.devnet.deployment.parameters)
    deployments.save(other, config.chain.deployment)
    with pytest.raises(AnotherChain):
        Worker(config, PASSWORD)


def test_a_chain_that_was_reset_and_a_node_that_is_away_are_refused(place):
    config = place.config()
    found = deployments.load(config.chain.deployment)
    deployments.save(replace(found, genesis_hash=b"\x01" * 32), config.chain.deployment)
    with pytest.raises(ChainReset):
        Worker(config, PASSWORD)
    deployments.save(replace(found, rpc_url="http://127.0.0.1:1"), config.chain.deployment)
    with pytest.raises(RpcUnavailable):
        Worker(config, PASSWORD)
    assert not config.state_dir.exists()


def test_sigterm_finishes_what_is_claimed_and_takes_no_more(place, spawn):
    config = place.config(slots=1, fake_tokens_per_sec=10.0)
    config = config.model_copy(update={"batches": config.batches.model_copy(update={"tasks": 1})})
    ids = place.submit(*(place.request() for _ in range(6)))
    process = spawn(config)
    eventually(lambda: TaskState.LEASED in place.states(ids), "the first claim")
    process.terminate()
    assert process.wait() == 0
    states = place.states(ids)
    assert set(states) <= {TaskState.OPEN, TaskState.SETTLED}
    assert TaskState.SETTLED in states
    assert TaskState.OPEN in states


def test_a_second_sigterm_stops_at_once_and_the_next_start_takes_the_work_up(place, spawn):
    config = place.config(fake_tokens_per_sec=2.0)
    ids = place.submit(place.request())
    process = spawn(config)
    eventually(lambda: TaskState.LEASED in place.states(ids), "the claim")
    process.terminate()
    eventually(lambda: status(config).draining, "draining")
    process.terminate()
    assert process.wait(10) == 0
    assert place.states(ids) == [TaskState.LEASED]
    spawn(place.config())
    place.await_states(ids, TaskState.SETTLED)


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


def test_a_full_disk_ends_the_worker_with_one_line_and_the_next_start_takes_up_the_work(place, start):
    ids = place.submit(*(place.request() for _ in range(40)))
    config = place.config()
    worker = Worker(config, PASSWORD)
    worker._database._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StateUnwritable, match="full"):
        worker.run()
    start(config)
    place.await_states(ids, TaskState.SETTLED)
    assert place.market.burned_units() == 0


def test_a_disk_that_fills_while_the_chain_is_read_ends_the_worker(place, monkeypatch):
    worker = Worker(place.config(), PASSWORD)
    read_on = worker._poller._follower.poll

    def filled(trail):
        worker._database._connection.execute("PRAGMA max_page_count = 1")
        return read_on(trail)

    with running_to_its_end(worker) as ended:
        eventually(lambda: worker._started is not None, "it runs")
        monkeypatch.setattr(worker._poller._follower, "poll", filled)
        place.submit(*(place.request() for _ in range(40)))
        assert ended.wait(20)
    assert isinstance(worker._poller.failure, sqlite3.OperationalError)


def test_a_defect_in_reading_the_chain_ends_the_worker_instead_of_blinding_it(place, monkeypatch):
    worker = Worker(place.config(), PASSWORD)

    def defect(_trail):
        raise RuntimeError("nobody foresaw this")

    with running_to_its_end(worker) as ended:
        eventually(lambda: worker._started is not None, "it runs")
        monkeypatch.setattr(worker._poller._follower, "poll", defect)
        assert ended.wait(20)


def test_whatever_ends_the_engine_host_ends_the_worker_instead_of_idling_it(place, monkeypatch):
    """Also an error that is a line in the log elsewhere."""
    worker = Worker(place.config(), PASSWORD)

    def away():
        raise StoreUnavailable("memory://", "away")

    with running_to_its_end(worker) as ended:
        eventually(lambda: worker._started is not None, "it runs")
        monkeypatch.setattr(worker._host, "_next_group", away)
        place.submit(place.request())
        assert ended.wait(20)


@contextmanager
def running_to_its_end(worker):
    """Set when `run` has raised."""
    ended = threading.Event()

    def body():
        try:
            worker.run()
        except (QuernError, RuntimeError):
            ended.set()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield ended
    finally:
        worker.stop(now=True)
        thread.join(30)


def test_a_signal_is_taken_wherever_it_finds_the_main_loop(place):
    worker, handled = Worker(place.config(), PASSWORD), threading.Event()
    held: threading.Condition = getattr(worker._woken, "_cond")  # noqa: B009 the type does not show it

    def interrupted():
        with held:
            worker._drain._on_signal(signal.SIGTERM, None)
        handled.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert handled.wait(5)
    assert worker.run() == 0, "it drains"


def test_a_chain_that_is_replaced_while_the_worker_runs_ends_it(tmp_path, spawn):
    home = tmp_path / "another"
    try:
        first = devnets.up(home, block_millis=None, die_with_parent=True)
        config = MarketPlace(first, home).config()
        process = spawn(config)
        eventually(lambda: status(config).running, "the worker runs")
        devnets.down(home)
        port = int(first.rpc_url.rsplit(":", 1)[1])
        second = devnets.up(home, port, block_millis=None, die_with_parent=True)
        assert second.deployment.market == first.deployment.market
        assert process.wait() == 1
        assert not status(config).running
    finally:
        devnets.down(home)


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
