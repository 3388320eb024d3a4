"""A worker's report is what its events say, to the unit, and nothing in it can run in a browser."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from auditor.worker_history import NotAWorker
from auditor.worker_report import WorkerReport, audit_worker
from chain.sender import Sender
from chain.store import ContentStore
from protocol.domain import ETHER_UNITS
from protocol.request import task_id
from tests.auditor.support import OPERATOR, REPLICAS, REQUESTER, Bench, as_they_are, first_changed, with_first


def reported(bench: Bench, address: str = OPERATOR.address) -> WorkerReport:
    return audit_worker(
        address, bench.rpc, bench.devnet.deployment, ContentStore(bench.store.url, read_only=True)
    )


def test_what_a_worker_did_earned_and_holds_adds_up(bench: Bench) -> None:
    bench.serve("1+1=?")
    bench.serve("2+2=?")
    lapsed = task_id(bench.market.domain, bench.submit("3+3=?"))
    bench.operator.send_and_wait(bench.market.claim_many([lapsed]))
    bench.later(61)
    Sender(bench.rpc, REQUESTER).send_and_wait(bench.market.cancel(lapsed))
    released = task_id(bench.market.domain, bench.submit("4+4=?"))
    bench.operator.send_and_wait(bench.market.claim_many([released]))
    bench.operator.send_and_wait(bench.market.release(released))
    bench.operator.send_and_wait(bench.market.withdraw(1_000, OPERATOR.address))

    report = reported(bench)
    work, money = report.history.work, report.history.money
    assert (work.claimed, work.released, work.lapsed, work.posted, work.settled) == (4, 1, 1, 2, 2)
    bond = bench.devnet.deployment.parameters.bond_unit_units
    assert bond < money.burned < 2 * bond
    assert money.deposited == ETHER_UNITS
    assert money.free + money.locked == money.deposited + money.earned - money.burned - money.withdrawn
    stored = bench.market.account(OPERATOR.address)
    assert (money.free, money.locked) == (stored.free_units, stored.locked_units)
    assert len(report.speeds) == 2
    assert report.prediction_ratio is not None


def test_a_replica_in_the_minority_is_said_to_be_one(bench: Bench) -> None:
    def otherwise(entries):
        tokens = entries[0].token_ids
        return with_first(entries, bench.retold(entries[0], first_changed(tokens, 0, tokens[0] + 1)))

    bench.agreed("1+1=?", alter=(as_they_are, otherwise, as_they_are))
    minority = reported(bench, REPLICAS[1].address).history
    assert (minority.work.committed, minority.work.minority, minority.work.won) == (1, 1, 0)
    winner = reported(bench, REPLICAS[2].address)
    assert (winner.history.work.won, winner.unread) == (1, 1)


def test_an_inversion_is_listed_with_what_was_passed_over(bench: Bench) -> None:
    better = task_id(bench.market.domain, bench.submit("2+2=?", tip_units=1_000))
    bench.later(10)
    taken = task_id(bench.market.domain, bench.submit("1+1=?"))
    bench.operator.send_and_wait(bench.market.claim_many([taken]))
    report = reported(bench)
    assert [(claim.event.task_id, claim.inversions[0].skipped) for claim in report.history.inverted] == [
        (taken, better)
    ]
    assert "1 better-ranked task passed over in 1 claims" in report.to_text()


def test_the_page_shows_what_the_text_says_and_escapes_it(bench: Bench) -> None:
    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: set[str] = set()
            self.text = ""

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.add(tag)

        def handle_data(self, data: str) -> None:
            self.text += data

    bench.serve("1+1=?")
    report = reported(bench)
    hostile = replace(report.speeds[0], strategy="<script>alert(1)</script>")
    page = Page()
    page.feed(replace(report, speeds=(hostile,)).to_html())
    assert "script" not in page.tags
    assert hostile.strategy in page.text
    for _, said in report.rows():
        assert said in page.text
        assert said in report.to_text()


def test_the_report_for_programs_is_json(bench: Bench) -> None:
    bench.serve("1+1=?")
    told = json.loads(json.dumps(reported(bench).to_json()))
    assert told["worker"] == OPERATOR.address
    assert told["work"]["settled"] == 1
    assert told["speeds"][0]["tokens_per_s"] > 0


def test_an_address_that_never_claimed_is_no_worker(bench: Bench) -> None:
    with pytest.raises(NotAWorker, match="never claimed"):
        reported(bench, REQUESTER.address)
