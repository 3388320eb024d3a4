"""Replicas, demands and disputes on the real node: what a worker owes is done in time, and the books say so."""

import pytest

from chain.reorg import Reorganiser
from chain.store import ContentMissing, output_key
from protocol.equivalence import EquivalenceClass
from protocol.lifecycle import LeafAnswered, SeatState, TaskState
from protocol.money import charge_units, winner_units
from tests.worker.harness import (
    DEPOSIT_UNITS,
    OPERATOR,
    MarketPlace,
    chats,
    codes,
    eventually,
)
from worker.report import status, why

FAKES = EquivalenceClass({"engine": "fake"})


def replicated(place: MarketPlace, prompts=None, **changes):
    return place.request(prompts, replicas=3, equivalence=place.put_class(FAKES), **changes)


def await_settled(config, tasks: int = 1) -> None:
    eventually(lambda: status(config).settled == tasks, "the worker knows it")


def paid_to_a_winner(place: MarketPlace, one: bytes, request) -> int:
    tokens = place.market.task(one).output_tokens
    charge = charge_units(request.max_fee_units, request.flat_percent, tokens, request.max_output_tokens)
    return winner_units(charge, request.tip_units, request.replicas)


def test_three_workers_commit_reveal_agree_and_are_paid(place, start):
    request = replicated(place, chats(3))
    (one,) = place.submit(request)
    (second, second_address), (third, third_address) = place.hire(3), place.hire(4)
    configs = [place.config(), second, third]
    for config in configs:
        start(config)
    place.await_states([one], TaskState.POSTED)
    seats = place.market.round(one).seats
    assert {seat.worker for seat in seats} == {OPERATOR.address, second_address, third_address}
    assert {seat.state for seat in seats} == {SeatState.WON}
    place.await_states([one], TaskState.SETTLED)
    paid = paid_to_a_winner(place, one, request)
    for address in (OPERATOR.address, second_address, third_address):
        account = place.market.account(address)
        assert (account.free_units, account.locked_units) == (DEPOSIT_UNITS + paid, 0)
    for config in configs:
        await_settled(config)
        assert status(config).earned_units == paid
        wanted = ["COMMIT-001", "COMMIT-002", "REVEAL-001", "REVEAL-002", "ROUND-003", "SETTLE-002"]
        assert [code for code in codes(config, one) if code in wanted] == wanted


def test_a_commitment_that_a_reorganisation_took_away_and_brought_back_is_revealed(place, spawn):
    """With the whole task: what was committed to is not made again, and not forgotten."""
    reorganiser = Reorganiser(place.rpc)
    reorganiser.mark()
    height = place.rpc.block_number()
    (one,) = place.submit(replicated(place))
    first = spawn(place.config())
    eventually(lambda: place.market.round(one).committed == 1, "it has committed")
    eventually(lambda: "COMMIT-002" in codes(first.config, one), "it knows")
    gone = reorganiser.reorganise(place.rpc.block_number() - height)
    assert gone is not None
    assert gone.left_out == 0
    eventually(lambda: codes(first.config, one).count("COMMIT-002") == 2, "it knows again")
    for config in (place.hire(3)[0], place.hire(4)[0]):
        spawn(config)
    place.await_states([one], TaskState.SETTLED)
    assert place.market.burned_units() == 0
    assert codes(first.config, one).count("RUN-002") == 1


def test_a_result_stays_out_of_the_store_until_all_have_committed(place, start):
    (one,) = place.submit(replicated(place))
    config = place.config()
    start(config)
    eventually(lambda: "COMMIT-002" in codes(config, one), "the commitment")
    with pytest.raises(ContentMissing):
        place.output(one)
    deadline = place.market.task(one).deadline
    eventually(lambda: status(config).owed_until == deadline, "status says what is owed")


def test_a_round_without_a_quorum_of_commitments_gives_the_bond_back_after_the_deadline(place, start):
    (one,) = place.submit(replicated(place, deadline=place.rpc.latest().timestamp + 400))
    config = place.config()
    start(config)
    eventually(lambda: "COMMIT-002" in codes(config, one), "the commitment")
    place.rpc.call("evm_increaseTime", 401)
    place.rpc.call("evm_mine")
    place.await_states([one], TaskState.REFUNDED)
    assert place.operator_units() == (DEPOSIT_UNITS, 0)
    assert "ROUND-006" in codes(config, one)


def test_a_quorum_of_commitments_is_revealed_after_the_deadline_without_the_third(place, start):
    request = replicated(place, deadline=place.rpc.latest().timestamp + 400)
    (one,) = place.submit(request)
    second, _ = place.hire(3)
    for config in (place.config(), second):
        start(config)
    eventually(lambda: place.market.round(one).committed == 2, "two commitments")
    place.rpc.call("evm_increaseTime", 401)
    place.rpc.call("evm_mine")
    place.await_states([one], TaskState.SETTLED)
    assert place.operator_units() == (DEPOSIT_UNITS + paid_to_a_winner(place, one, request), 0)


def test_a_worker_outside_the_class_declines_and_says_in_what_it_differs(place, start):
    others = place.put_class(EquivalenceClass({"engine": "vllm"}))
    strangers = place.put_class(EquivalenceClass({"engine": "fake"}, (b"\x01" * 32,)))
    wrong, unknown, missing, served = place.submit(
        place.request(equivalence=others),
        place.request(equivalence=strangers),
        place.request(equivalence=b"\x77" * 32),
        place.request(equivalence=place.put_class(FAKES)),
    )
    config = place.config()
    start(config)
    place.await_states([served], TaskState.SETTLED)
    eventually(lambda: status(config).declined == 3, "the others declined")
    assert [codes(config, one) for one in (wrong, unknown, missing)] == [
        ["CLAIM-009"],
        ["CLAIM-009"],
        ["FETCH-010"],
    ]
    assert "differs in engine" in why(config, wrong)[0].reason.text


def demand(place: MarketPlace, one: bytes, leaf_index: int) -> None:
    fee = place.devnet.deployment.parameters.demand_fee_units
    place.requester.send_and_wait(place.market.demand(one, leaf_index, fee))


def test_leaves_called_for_are_shown_in_time_for_the_fee(place, start):
    requests = [place.request(chats(count)) for count in (1, 8, 3)]
    ids = place.submit(*requests)
    config = place.config()
    start(config)
    place.await_states(ids, TaskState.POSTED)
    leaves = -(-place.market.task(ids[1]).output_tokens // 32)
    assert leaves > 2
    for leaf_index in (0, leaves - 1):
        demand(place, ids[1], leaf_index)
    eventually(lambda: place.market.task(ids[1]).open_demands == 0, "the answers")
    tokens = place.output(ids[1]).token_ids()
    shown = {event.leaf: event.tokens for event in place.events() if isinstance(event, LeafAnswered)}
    assert shown == {0: tokens[:32], leaves - 1: tokens[32 * (leaves - 1) :]}
    place.await_states(ids, TaskState.SETTLED)
    eventually(lambda: status(config).settled == len(ids), "the worker knows it")
    fees = 2 * place.devnet.deployment.parameters.demand_fee_units
    earned = place.operator_units()[0] - DEPOSIT_UNITS
    assert status(config).earned_units == earned
    assert earned == fees + sum(
        paid_to_a_winner(place, one, request) for one, request in zip(ids, requests, strict=True)
    )
    assert codes(config, ids[1]).count("DEMAND-002") == 2


def test_a_winner_of_a_round_answers_too(place, start):
    (one,) = place.submit(replicated(place, chats(4)))
    configs = [place.config(), place.hire(3)[0], place.hire(4)[0]]
    for config in configs:
        start(config)
    place.await_states([one], TaskState.POSTED)
    demand(place, one, 1)
    eventually(lambda: place.market.task(one).open_demands == 0, "the answer")
    place.await_states([one], TaskState.SETTLED)
    assert place.market.burned_units() == place.devnet.deployment.parameters.demand_fee_units % 3


def test_a_demand_is_answered_by_a_worker_that_was_dead_when_it_came_and_lost_its_database(place, spawn):
    ids = place.submit(*(place.request(chats(count)) for count in (2, 3)))
    first = spawn(place.config("one"))
    place.await_states(ids, TaskState.POSTED)
    first.kill()
    demand(place, ids[1], 0)
    spawn(place.config("two"))
    eventually(lambda: place.market.task(ids[1]).open_demands == 0, "the answer")
    place.await_states(ids, TaskState.SETTLED)


def test_a_demand_that_cannot_be_answered_costs_the_bond_and_is_said(place, spawn):
    (one,) = place.submit(place.request())
    first = spawn(place.config("one"))
    place.await_states([one], TaskState.POSTED)
    first.kill()
    (place.home / "store" / output_key(one)).unlink()
    demand(place, one, 0)
    config = place.config("two")
    spawn(config)
    eventually(lambda: "DEMAND-003" in codes(config, one), "the alert")
    place.rpc.call("evm_increaseTime", place.devnet.deployment.parameters.answer_time_secs + 1)
    place.rpc.call("evm_mine")
    place.requester.send_and_wait(place.market.lapse_demand(one, 0))
    bond = place.devnet.deployment.parameters.bond_unit_units
    eventually(lambda: status(config).lost == 1, "the loss is in the books")
    assert (status(config).burned_units, place.operator_units()) == (bond, (DEPOSIT_UNITS - bond, 0))
    assert codes(config, one).count("LOST-004") == 2


def challenge(place: MarketPlace, one: bytes) -> None:
    bond = place.devnet.deployment.parameters.challenge_bond_units
    place.requester.send_and_wait(place.market.challenge(one, bond))


def rule(place: MarketPlace, one: bytes, *, faulty: bool) -> None:
    """As the arbiter, whoever that is."""
    arbiter = place.devnet.deployment.parameters.arbiter
    place.rpc.call("hardhat_impersonateAccount", arbiter)
    place.rpc.call("hardhat_setBalance", arbiter, hex(10**18))
    call = place.market.rule(one, faulty=faulty)
    fields = {"from": arbiter, "to": call.to, "data": "0x" + call.data.hex()}
    place.rpc.call("eth_sendTransaction", fields)


@pytest.mark.parametrize("faulty", [True, False])
def test_a_ruling_is_in_the_books(place, start, faulty):
    (one,) = place.submit(place.request())
    config = place.config()
    start(config)
    place.await_states([one], TaskState.POSTED)
    challenge(place, one)
    eventually(lambda: "DISPUTE-001" in codes(config, one), "the challenge")
    rule(place, one, faulty=faulty)
    if faulty:
        eventually(lambda: status(config).lost == 1, "the loss is in the books")
        bond = place.devnet.deployment.parameters.bond_unit_units
        assert status(config).burned_units == bond == DEPOSIT_UNITS - place.operator_units()[0]
        assert "LOST-005" in codes(config, one)
    else:
        eventually(lambda: status(config).settled == 1, "the worker knows it")
        assert status(config).earned_units == place.operator_units()[0] - DEPOSIT_UNITS
        assert "DISPUTE-003" in codes(config, one)


def test_a_dispute_on_which_the_arbiter_is_silent_is_settled_by_the_worker(place, start):
    (one,) = place.submit(place.request())
    config = place.config()
    start(config)
    place.await_states([one], TaskState.POSTED)
    challenge(place, one)
    place.rpc.call("evm_increaseTime", place.devnet.deployment.parameters.arbiter_timeout_secs + 1)
    place.rpc.call("evm_mine")
    place.await_states([one], TaskState.SETTLED)
    assert "DISPUTE-002" in codes(config, one)


def test_an_input_from_elsewhere_is_kept_where_the_output_lies(place, start):
    request = place.request()
    elsewhere = place.home / "elsewhere"
    elsewhere.mkdir()
    inside = place.home / "store" / request.input_uri
    inside.rename(elsewhere / "input")
    (one,) = place.submit(
        place.request(input_digest=request.input_digest, input_uri=f"file://{elsewhere}/input")
    )
    start(place.config())
    place.await_states([one], TaskState.SETTLED)
    assert inside.read_bytes() == (elsewhere / "input").read_bytes()
