"""Replicas, demands and disputes on the real contracts: every call, told by events that agree with storage."""

from dataclasses import replace

import pytest
from eth_account import Account

from chain.devnet import PANEL_ACCOUNTS, dev_account
from chain.follower import Follower
from chain.market import Demand, Market
from chain.panel import Panel
from chain.revert import MarketRevert
from chain.sender import Sender
from protocol.digest import ZERO_DIGEST
from protocol.evidence import make_answer
from protocol.lifecycle import (
    BondSlashed,
    ChallengeLost,
    ChallengeReturned,
    DemandClosed,
    DemandLapsed,
    HearingRuled,
    LeafAnswered,
    LeaseLapsed,
    ResultPosted,
    RevealOpened,
    RoundWon,
    SeatPaid,
    SeatState,
    Standing,
    TaskClaimed,
    TaskRefunded,
    TaskRuled,
    TaskSettled,
    TaskSkipped,
    TaskState,
    TaskSubmitted,
    Vote,
    derived_state,
)
from protocol.merkle import output_root
from protocol.panel import vote_digest, vote_salt
from protocol.receipt import Body, Receipt, body_digest, commitment, leaf, replica_salt, verdict
from protocol.replay import replay
from protocol.request import cancel_digest, task_id

TOKENS = tuple(range(1_000, 1_070))
REPLICAS = (2, 3, 4)  # dev accounts that work
CLASS = b"\x0c" * 32


@pytest.fixture
def workers(rpc, market):
    """Three workers, each good for a hundred bonds."""
    found = [Sender(rpc, dev_account(index)) for index in REPLICAS]
    for sender in found:
        amount = 100 * market.deployment.parameters.bond_unit_units
        sender.send_and_wait(market.deposit(sender.address, amount))
    return found


@pytest.fixture
def challenger(rpc, market):
    sender = Sender(rpc, dev_account(5))
    sender.send_and_wait(market.deposit(sender.address, 10**8))
    return sender


def body_by(worker, task, tokens=TOKENS):
    return Body(task, worker.address, output_root(tokens), b"\2" * 32, b"\3" * 32, b"\4" * 32, 9, 1, 2)


def salt_of(index, task):
    return replica_salt(bytes(dev_account(index).key), task)


def submit(market, asker, request):
    asker.send_and_wait(market.submit(request))
    return task_id(market.domain, request)


def post(market, worker, task, tokens=TOKENS):
    """Claim and post one task; returns the body and the batch's leaves."""
    worker.send_and_wait(market.claim_many([task]))
    body = body_by(worker, task, tokens)
    receipt = Receipt(task, body_digest(market.domain, body), len(tokens))
    posted = worker.send_and_wait(market.post_batch([receipt])).events
    assert isinstance(posted[-1], ResultPosted)
    return body, [leaf(receipt)]


def agree(rpc, market):
    """Replay and storage say the same of every task, round, demand and account, to the last unit."""
    events = Follower(rpc, market.deployment).poll().events
    view = replay(events, market.deployment.parameters)
    now = rpc.latest().timestamp
    for task in view.tasks.values():
        stored = market.task(task.task_id)
        assert (stored.state, stored.output_tokens) == (task.state, task.output_tokens)
        assert derived_state(task, now) is market.standing(task.task_id)
        if task.live:
            assert (stored.until, stored.open_demands) == (task.until, task.open_demands)
        if task.replicated and task.live:
            found = {seat.worker: seat for seat in market.round(task.task_id).seats if seat.worker}
            for seat in task.seats:
                assert found[seat.worker].state is seat.state
                assert found[seat.worker].digest == (seat.verdict or seat.commitment or ZERO_DIGEST)
        if task.challenger:
            assert market.dispute(task.task_id).challenger == task.challenger
    for holder, account in view.accounts.items():
        kept = market.account(holder)
        assert (kept.free_units, kept.locked_units) == (account.free_units, account.locked_units)
    for row in market.waiting(list(view.tasks)):
        task = view.tasks[row.task_id]
        assert row.standing is derived_state(task, now)
        assert row.challenge_bond_units == task.challenge_bond_units
    assert market.burned_units() == view.totals.burned_units
    assert market.balance_units() == view.totals.held_units
    return view


def seat_all(market, workers, task, tokens=(TOKENS, TOKENS, TOKENS)):
    """Claim and commit every seat of a round of three; returns the bodies."""
    bodies, last = [], None
    for index, worker, made in zip(REPLICAS, workers, tokens, strict=True):
        assert isinstance(worker.send_and_wait(market.claim_many([task])).events[-1], TaskClaimed)
        body = body_by(worker, task, made)
        digest = commitment(body_digest(market.domain, body), len(made), salt_of(index, task))
        last = worker.send_and_wait(market.commit(task, digest)).events
        bodies.append(body)
    assert last is not None
    assert isinstance(last[-1], RevealOpened)
    return bodies


def reveal_all(market, sender, task, bodies, tokens=(TOKENS, TOKENS, TOKENS)):
    for index, body, made in zip(REPLICAS, bodies, tokens, strict=True):
        shown = sender.send_and_wait(market.reveal(body, len(made), salt_of(index, task))).events[-1]
        assert (shown.body, shown.verdict) == (body_digest(market.domain, body), verdict(body, len(made)))


def test_a_round_is_committed_revealed_counted_and_settled(
    rpc, market, asker, workers, make_request, pass_time
):
    task = submit(market, asker, make_request(replicas=3, equivalence=CLASS, tip_units=31))
    made = (TOKENS, TOKENS[:-1], TOKENS)
    bodies = seat_all(market, workers, task, made)
    assert market.standing(task) is Standing.REVEALING
    agree(rpc, market)
    reveal_all(market, asker, task, bodies, made)
    assert market.standing(task) is Standing.CLOSABLE

    closed = asker.send_and_wait(market.close_round(task)).events
    assert [type(event) for event in closed] == [SeatPaid, RoundWon]
    assert [seat.state for seat in market.round(task).seats] == [SeatState.WON, SeatState.LEFT, SeatState.WON]
    agree(rpc, market)

    pass_time(market.deployment.parameters.window_secs + 1)
    settled = asker.send_and_wait(market.settle_many([task])).events
    assert [type(event) for event in settled] == [SeatPaid, SeatPaid, TaskSettled]
    assert settled[0].paid_units == 100 + 900 * len(TOKENS) // 100 + 10
    assert agree(rpc, market).tasks[task].paid_units == 2 * settled[0].paid_units


def test_a_round_without_a_quorum_pays_halves(rpc, market, asker, workers, make_request, pass_time):
    task = submit(market, asker, make_request(replicas=3, equivalence=CLASS))
    made = (TOKENS, TOKENS[:-1], TOKENS[:-2])
    bodies = seat_all(market, workers, task, made)
    shown = market.reveal(bodies[0], len(made[0]), salt_of(REPLICAS[0], task))
    asker.send_and_wait(shown)
    asker.send_and_wait(market.reveal(bodies[1], len(made[1]), salt_of(REPLICAS[1], task)))
    pass_time(market.deployment.parameters.answer_time_secs + 1)
    ended = asker.send_and_wait(market.close_round(task)).events[-1]
    assert isinstance(ended, TaskRefunded)
    assert (ended.reason, ended.refunded_units) == (3, 3_005 - (100 + 630) // 2 - (100 + 621) // 2)
    agree(rpc, market)


def test_seats_are_evicted_released_and_expire(rpc, market, asker, workers, make_request, pass_time):
    first = submit(market, asker, make_request(replicas=3, equivalence=CLASS))
    second = submit(market, asker, make_request(replicas=3, equivalence=CLASS))
    for worker in workers:
        worker.send_and_wait(market.claim_many([first, second]))
    again = workers[0].send_and_wait(market.claim_many([first])).events[-1]
    assert isinstance(again, TaskSkipped)
    assert again.reason == 14
    for worker in workers:
        worker.send_and_wait(market.release(second))
        agree(rpc, market)
    assert market.task(second).state is TaskState.OPEN
    pass_time(61)
    assert market.standing(first) is Standing.LAPSED
    taken = workers[0].send_and_wait(market.claim_many([first])).events
    assert [type(event) for event in taken] == [LeaseLapsed, TaskClaimed]
    agree(rpc, market)
    pass_time(4_000)
    assert market.standing(first) is Standing.EXPIRED
    asker.send_and_wait(market.expire(first))
    agree(rpc, market)


def test_a_demanded_leaf_is_answered_and_an_unanswered_one_ends_the_task(
    rpc, market, asker, worker, challenger, make_request, pass_time
):
    task = submit(market, asker, make_request())
    body, leaves = post(market, worker, task)
    for index in (0, 1, 2):
        challenger.send_and_wait(market.demand(task, index))
    assert market.open_demand(task, 2).demander == challenger.address
    agree(rpc, market)
    for index in (2, 0):
        answer = make_answer(body, TOKENS, index, leaves)
        shown = asker.send_and_wait(market.answer(task, index, answer)).events[-1]
        assert isinstance(shown, LeafAnswered)
        assert shown.tokens == TOKENS[32 * index : 32 * index + 32]
    with pytest.raises(MarketRevert, match="LeafNotInOutput"):
        asker.send_and_wait(
            market.answer(task, 1, replace(make_answer(body, TOKENS, 1, leaves), tokens=TOKENS[:32]))
        )
    challenger.send_and_wait(market.challenge(task))
    agree(rpc, market)
    pass_time(market.deployment.parameters.answer_time_secs + 1)
    lapsed = asker.send_and_wait(market.lapse_demand(task, 1)).events
    assert [type(event) for event in lapsed] == [DemandLapsed, BondSlashed, ChallengeReturned, TaskRefunded]
    view = agree(rpc, market)
    assert view.tasks[task].refund_reason == 4
    assert market.open_demand(task, 1) == Demand(challenger.address, 0)


def test_a_demand_left_open_is_closed_when_the_task_has_ended(
    rpc, market, asker, worker, challenger, make_request, pass_time
):
    task = submit(market, asker, make_request())
    post(market, worker, task)
    for index in (0, 1):
        challenger.send_and_wait(market.demand(task, index))
    pass_time(market.deployment.parameters.answer_time_secs + 1)
    asker.send_and_wait(market.lapse_demand(task, 0))
    assert agree(rpc, market).totals.demand_fee_units == market.deployment.parameters.demand_fee_units
    closed = asker.send_and_wait(market.close_demand(task, 1)).events
    assert isinstance(closed[-1], DemandClosed)
    assert agree(rpc, market).totals.demand_fee_units == 0


@pytest.mark.parametrize("faulty", [True, False])
def test_a_panel_rules_by_salted_votes(
    rpc, market, asker, workers, challenger, make_request, pass_time, faulty
):
    """Over a round of three with two winners, so that money is divided."""
    task = submit(market, asker, make_request(replicas=3, equivalence=CLASS))
    made = (TOKENS, TOKENS[:-1], TOKENS)
    reveal_all(market, asker, task, seat_all(market, workers, task, made), made)
    asker.send_and_wait(market.close_round(task))
    challenger.send_and_wait(market.challenge(task))
    panel = Panel(rpc, market.deployment)
    members = [Sender(rpc, dev_account(index)) for index in PANEL_ACCOUNTS]
    assert panel.members() == tuple(member.address for member in members)
    asker.send_and_wait(panel.open(task))
    salts = [
        vote_salt(bytes(dev_account(index).key), panel.address, market.deployment.market, task)
        for index in PANEL_ACCOUNTS
    ]
    chain_id = market.deployment.chain_id
    for member, salt in zip(members, salts, strict=True):
        digest = vote_digest(
            chain_id,
            panel.address,
            market.deployment.market,
            task,
            member=member.address,
            faulty=faulty,
            salt=salt,
        )
        member.send_and_wait(panel.commit_vote(task, digest))
    assert panel.vote(task, members[0].address) is Vote.COMMITTED
    for member, salt in zip(members[:2], salts, strict=False):
        member.send_and_wait(panel.reveal_vote(task, faulty=faulty, salt=salt))
    assert panel.vote(task, members[0].address) is (Vote.FAULTY if faulty else Vote.SOUND)
    hearing = panel.hearing(task)
    assert (hearing.opened, hearing.committed, hearing.revealed, hearing.ruled) == (True, 3, 2, False)

    ruled = asker.send_and_wait(panel.rule(task)).events
    kinds = (
        [BondSlashed, BondSlashed, ChallengeReturned, TaskRefunded]
        if faulty
        else [ChallengeLost, SeatPaid, SeatPaid, TaskSettled]
    )
    assert [type(event) for event in ruled] == [TaskRuled, *kinds, HearingRuled]
    view = agree(rpc, market)
    assert view.tasks[task].state is (TaskState.REFUNDED if faulty else TaskState.SETTLED)

    share = ruled[-1].share_units
    assert share == panel.share_units(members[0].address) == panel.hearing(task).share_units > 0
    assert panel.share_units(members[2].address) == 0
    members[0].send_and_wait(panel.collect(members[0].address))
    assert panel.share_units(members[0].address) == 0
    agree(rpc, market)


def test_a_silent_panel_lets_the_worker_be_paid(
    rpc, market, asker, worker, challenger, make_request, pass_time
):
    task = submit(market, asker, make_request())
    post(market, worker, task)
    challenger.send_and_wait(market.challenge(task))
    pass_time(market.deployment.parameters.arbiter_timeout_secs + 1)
    assert market.standing(task) is Standing.TIMED_OUT
    ended = asker.send_and_wait(market.timeout(task)).events
    assert [type(event) for event in ended] == [ChallengeReturned, TaskSettled]
    agree(rpc, market)


def test_a_wallet_without_ether_asks_takes_back_and_revokes_through_others(rpc, market, asker, make_request):
    poor = Account.create()
    asker.send_and_wait(market.deposit(poor.address, 10_000))
    requests = [make_request(requester=poor.address) for _ in range(4)]
    ids = [task_id(market.domain, request) for request in requests]
    signatures = [bytes(poor.unsafe_sign_hash(one).signature) for one in ids]
    sent = asker.send_and_wait(market.submit_by_sig(requests[0], signatures[0])).events
    assert isinstance(sent[0], TaskSubmitted)
    assert sent[0].request.requester == poor.address
    many = asker.send_and_wait(
        market.submit_many_by_sig(requests[1:3], [signatures[1], signatures[0]])
    ).events
    assert [type(event) for event in many] == [TaskSubmitted, TaskSkipped]
    assert many[1].reason == 3
    signed = bytes(poor.unsafe_sign_hash(cancel_digest(market.domain, ids[0])).signature)
    asker.send_and_wait(market.cancel_by_sig(ids[0], signed))
    with pytest.raises(MarketRevert, match="NotRequester"):
        asker.send_and_wait(market.revoke(requests[3]))
    own = make_request()
    asker.send_and_wait(market.revoke(own))
    with pytest.raises(MarketRevert, match="WrongState"):
        asker.send_and_wait(market.submit(own))
    view = agree(rpc, market)
    assert view.revoked == {task_id(market.domain, own): asker.address}


def test_a_skipped_task_is_recorded_by_the_lens_as_the_rule_has_it(
    rpc, market, asker, worker, make_request, pass_time
):
    poorer, better = make_request(tip_units=1), make_request(tip_units=9)
    for request in (poorer, better):
        submit(market, asker, request)
    pass_time(market.deployment.parameters.inversion_grace_secs + 2)
    worker.send_and_wait(market.claim_many([task_id(market.domain, poorer)]))
    recorded = asker.send_and_wait(market.record_skip(poorer, better, worker.address)).events[-1]
    assert (recorded.taken, recorded.skipped) == tuple(
        task_id(market.domain, request) for request in (poorer, better)
    )
    assert recorded.worker == worker.address
    with pytest.raises(MarketRevert, match="NoInversion"):
        asker.send_and_wait(market.record_skip(poorer, better, asker.address))


def test_what_may_still_be_called_for_a_stranger_is_said_by_waiting(market, asker, worker, make_request):
    parameters = market.deployment.parameters
    task = submit(market, asker, make_request(tip_units=7))
    (row,) = market.waiting([task])
    assert (row.escrow_units, row.bonds_units, row.until) == (1_007, 0, market.task(task).deadline)
    worker.send_and_wait(market.claim_many([task]))
    (row,) = market.waiting([task])
    assert (row.standing, row.bonds_units) == (Standing.LEASED, parameters.bond_unit_units)
    assert market.priority(task) >= 0
    assert isinstance(market, Market)
