"""Rounds of replicas, demands, disputes and recorded inversions: the auditor follows each to the last unit."""

from dataclasses import replace

import pytest

from auditor.app import Auditor
from auditor.case import Case, History
from auditor.chain_steps import replay_and_compare
from auditor.findings import Refuted
from auditor.report import AuditReport, Outcome
from auditor.round_step import check_round
from chain.devnet import PANEL_ACCOUNTS, dev_account
from chain.panel import Panel
from chain.sender import Sender
from chain.store import ContentStore, output_key
from engine.base import Engine
from protocol.digest import to_hex
from protocol.evidence import make_answer
from protocol.lifecycle import ResultRevealed
from protocol.panel import vote_digest, vote_salt
from protocol.receipt import leaf as receipt_leaf
from protocol.request import Request, task_id
from tests.auditor.support import (
    ANSWER_SECS,
    MODEL_DIR,
    OPERATOR,
    REPLICAS,
    REQUESTER,
    Bench,
    Entries,
    as_they_are,
    first_changed,
    with_first,
)

CHALLENGER = dev_account(12)


def audited(bench: Bench, served: bytes, engine: Engine | None = None) -> AuditReport:
    reader = ContentStore(bench.store.url, read_only=True)
    return Auditor(bench.rpc, bench.devnet.deployment, reader, MODEL_DIR, engine).audit(served)


def steps(report: AuditReport, outcome: Outcome) -> list[int]:
    return [step.number for step in report.steps if step.outcome is outcome]


def another(bench: Bench):
    """Changes the first token of an answer, consistently in every digest."""

    def change(entries: Entries) -> Entries:
        tokens = entries[0].token_ids
        return with_first(entries, bench.retold(entries[0], first_changed(tokens, 0, tokens[0] + 1)))

    return change


def still_another(bench: Bench):
    def change(entries: Entries) -> Entries:
        tokens = entries[0].token_ids
        return with_first(entries, bench.retold(entries[0], first_changed(tokens, 0, tokens[0] + 2)))

    return change


def test_a_round_that_agrees_passes_every_step(bench: Bench, second_opinion: Engine) -> None:
    report = audited(bench, bench.agreed("1+1=?"), second_opinion)
    assert report.passed, report.to_text()
    figures = report.steps[2].figures
    winners = figures["winners"]
    assert isinstance(winners, list)
    assert set(map(str, winners)) == {account.address for account in REPLICAS}
    assert figures["commitments_opened"] == len(REPLICAS)


def test_the_minority_of_a_round_is_named_and_the_majority_passes(bench: Bench) -> None:
    served = bench.agreed("1+1=?", alter=(as_they_are, another(bench), as_they_are))
    report = audited(bench, served)
    assert steps(report, Outcome.FAILED) == []
    assert report.steps[2].figures["minority"] == [REPLICAS[1].address]
    assert "answered otherwise" in report.steps[2].sentence
    bench.later(6)
    bench.operator.send_and_wait(bench.market.settle_many([served]))
    assert audited(bench, served).steps[1].outcome is Outcome.PASSED


def test_a_store_that_holds_the_minoritys_receipt_fails(bench: Bench) -> None:
    served = bench.agreed("1+1=?", alter=(another(bench), as_they_are, as_they_are))
    report = audited(bench, served)
    assert 3 in steps(report, Outcome.FAILED)
    assert "none of the winners" in report.steps[2].sentence


def test_a_seat_that_never_reveals_is_named_and_its_bond_accounted_for(bench: Bench) -> None:
    report = audited(bench, bench.agreed("1+1=?", silent=[2]))
    assert steps(report, Outcome.FAILED) == []
    assert report.steps[2].figures["not_revealed"] == [REPLICAS[2].address]
    assert report.steps[1].figures["burned_units"] == bench.devnet.deployment.parameters.bond_unit_units


def test_a_round_without_a_quorum_has_nothing_more_to_check(bench: Bench) -> None:
    served = bench.agreed("1+1=?", alter=(as_they_are, another(bench), still_another(bench)))
    report = audited(bench, served)
    assert steps(report, Outcome.PASSED) == [1, 2, 3, 6]
    assert "no verdict has 2 of 3 replicas" in report.steps[2].sentence
    assert "did not agree" in report.steps[3].sentence
    assert "no quorum" in report.steps[1].sentence


def test_a_reveal_that_does_not_open_its_commitment_is_refuted(bench: Bench) -> None:
    served = bench.agreed("1+1=?")
    history = History.fetch(bench.rpc, bench.devnet.deployment)
    first, second = [event for event in history.events if isinstance(event, ResultRevealed)][:2]
    lying = tuple(replace(event, body=second.body) if event == first else event for event in history.events)
    case = Case(served, replace(history, events=lying), bench.devnet.deployment, None, None)
    with pytest.raises(Refuted, match="said was"):
        check_round(case, bench.market)


def test_no_event_of_a_round_can_be_left_out(bench: Bench) -> None:
    served = bench.agreed("1+1=?", silent=[2])
    history = History.fetch(bench.rpc, bench.devnet.deployment)
    silent_kinds = ("WorkerIndexed", "ModelAnnounced", "StoreAnnounced", "TaskSubmitted")
    for place, event in enumerate(history.events):
        if type(event).__name__ in silent_kinds:
            continue
        events = (*history.events[:place], *history.events[place + 1 :])
        case = Case(served, replace(history, events=events), bench.devnet.deployment, None, None)
        with pytest.raises(Refuted):
            replay_and_compare(case, bench.market)


def demanded(bench: Bench, served: bytes) -> Sender:
    sender = Sender(bench.rpc, CHALLENGER)
    fee = bench.devnet.deployment.parameters.demand_fee_units
    sender.send_and_wait(bench.market.demand(served, 0, fee))
    return sender


def answered(bench: Bench, served: bytes) -> None:
    reader = ContentStore(bench.store.url, read_only=True)
    case = Case(
        served, History.fetch(bench.rpc, bench.devnet.deployment), bench.devnet.deployment, reader, None
    )
    leaves = [receipt_leaf(case.document.receipt())]
    shown = make_answer(case.document.body, case.output.token_ids(), 0, leaves)
    bench.operator.send_and_wait(bench.market.answer(served, 0, shown))


def test_a_demand_and_its_answer_are_part_of_the_story(bench: Bench) -> None:
    served = bench.answered("1+1=?")
    demanded(bench, served)
    assert "1 demand (1 open)" in audited(bench, served).steps[1].sentence
    answered(bench, served)
    report = audited(bench, served)
    assert steps(report, Outcome.FAILED) == []
    assert "1 demand (1 answered)" in report.steps[1].sentence
    assert "shown on chain is in the output" in report.steps[3].sentence


def test_an_unanswered_demand_ends_the_task_and_the_books_still_add_up(bench: Bench) -> None:
    served = bench.answered("1+1=?")
    sender = demanded(bench, served)
    bench.later(ANSWER_SECS + 1)
    sender.send_and_wait(bench.market.lapse_demand(served, 0))
    report = audited(bench, served)
    assert steps(report, Outcome.FAILED) == []
    assert "refunded (unanswered)" in report.steps[1].sentence


def challenged(bench: Bench, served: bytes, *, faulty: bool) -> None:
    """A challenge, and a panel of which all say the same."""
    market, deployment = bench.market, bench.devnet.deployment
    challenger = Sender(bench.rpc, CHALLENGER)
    challenger.send_and_wait(market.challenge(served, deployment.parameters.challenge_bond_units))
    panel = Panel(bench.rpc, deployment)
    challenger.send_and_wait(panel.open(served))
    members = [dev_account(index) for index in PANEL_ACCOUNTS]
    for member in members:
        salt = vote_salt(bytes(member.key), panel.address, deployment.market, served)
        hidden = vote_digest(
            deployment.chain_id,
            panel.address,
            deployment.market,
            served,
            member=member.address,
            faulty=faulty,
            salt=salt,
        )
        Sender(bench.rpc, member).send_and_wait(panel.commit_vote(served, hidden))
    for member in members:
        salt = vote_salt(bytes(member.key), panel.address, deployment.market, served)
        Sender(bench.rpc, member).send_and_wait(panel.reveal_vote(served, faulty=faulty, salt=salt))
    challenger.send_and_wait(panel.rule(served))


@pytest.mark.parametrize(("faulty", "state"), [(True, "refunded (faulty)"), (False, "settled")])
@pytest.mark.parametrize("replicated", [False, True])
def test_every_unit_that_a_ruling_moves_is_followed(
    bench: Bench, replicated: bool, faulty: bool, state: str
) -> None:
    served = bench.agreed("1+1=?") if replicated else bench.answered("1+1=?")
    challenged(bench, served, faulty=faulty)
    report = audited(bench, served)
    assert steps(report, Outcome.FAILED) == []
    sentence = report.steps[1].sentence
    assert state in sentence
    assert f"challenged by {CHALLENGER.address}, ruled {'faulty' if faulty else 'sound'}" in sentence


def test_a_silent_arbiter_is_told_as_such(bench: Bench) -> None:
    served = bench.answered("1+1=?")
    challenger = Sender(bench.rpc, CHALLENGER)
    parameters = bench.devnet.deployment.parameters
    challenger.send_and_wait(bench.market.challenge(served, parameters.challenge_bond_units))
    bench.later(parameters.arbiter_timeout_secs + 1)
    challenger.send_and_wait(bench.market.timeout(served))
    report = audited(bench, served)
    assert steps(report, Outcome.FAILED) == []
    assert "without a ruling" in report.steps[1].sentence


def test_a_leaf_shown_on_chain_that_is_not_in_the_stored_output_is_found(bench: Bench) -> None:
    served = bench.answered("1+1=?")
    demanded(bench, served)
    answered(bench, served)
    data = bench.store.get(output_key(served), 1 << 20)
    bench.store.put(output_key(served), data.replace(b'"token_ids":[', b'"token_ids":[7,', 1))
    assert 4 in steps(audited(bench, served), Outcome.FAILED)


def test_an_inversion_recorded_on_chain_is_listed(bench: Bench) -> None:
    better: Request = bench.submit("2+2=?", tip_units=1_000)
    bench.later(10)
    taken: Request = bench.submit("1+1=?")
    served = task_id(bench.market.domain, taken)
    bench.operator.send_and_wait(bench.market.claim_many([served]))
    stranger = Sender(bench.rpc, REQUESTER)
    stranger.send_and_wait(bench.market.record_skip(taken, better, OPERATOR.address))
    step = audited(bench, served).steps[5]
    skipped = to_hex(task_id(bench.market.domain, better))
    assert step.figures["recorded"] == step.figures["inversions"] == [skipped]
    assert "1 recorded on chain" in step.sentence
