"""Three workers answer one request: what a majority agrees on is the answer, and each of them is paid."""

import json

import pytest

from protocol.digest import from_hex
from protocol.equivalence import EquivalenceClass, class_key
from tests.quern.conftest import answer

BY_HAND = EquivalenceClass({"engine": "by hand"})


@pytest.fixture
def asked(desk, tmp_path):
    """A request for three replicas in a class of engines worked by hand."""
    file = tmp_path / "class.json"
    file.write_bytes(BY_HAND.encoded())

    def ask(*options: str) -> str:
        return str(desk.submit("what is 2 + 2", "--replicas", "3", "--class", str(file), *options))

    return ask


def agree(task, workers, *texts: str) -> None:
    """Each worker commits to its text, then all reveal and somebody counts."""
    for each, text in zip(workers, texts, strict=True):
        each.claim(task)
        each.commit(task, answer("prompt-1", text))
    for each in workers:
        each.reveal(task)
    workers[0].close(task)


def test_a_request_for_replicas_escrows_each_fee_and_names_the_class(desk, asked):
    told = desk.market.task(bytes.fromhex(asked("--max-fee", "2000000", "--tip", "9")[2:]))
    money = desk.run("money", "--json").json()
    assert (told.replicas, money["escrow_units"]) == (3, 6_000_009)
    stored = desk.store.get(class_key(BY_HAND.digest()), 1 << 16)
    assert EquivalenceClass.decode(stored) == BY_HAND


def test_the_majority_is_the_answer_and_the_minority_is_not_paid(desk, asked, replicas):
    task = asked("--max-fee", "2000000")
    agree(task, replicas, "four", "two", "four")
    watched = desk.run("watch", task, "--json").json()
    assert watched["state"] == "posted"
    assert sorted(watched["winners"]) == sorted(replicas[place].account.address for place in (0, 2))
    shown = desk.run("result", task, "--json")
    assert shown.status == 0, shown.err
    assert shown.json()["verified"] is True
    names = [check["name"] for check in shown.json()["checks"]]
    assert names[:2] == ["quorum", "receipt"]
    assert shown.json()["answers"][0]["text"] == "four"
    replicas[0].settle(task)
    over = desk.run("watch", task, "--to-the-end", "--json").json()
    paid = {seat["worker"]: seat["paid_units"] for seat in over["seats"]}
    assert paid[replicas[1].account.address] == 0
    assert paid[replicas[0].account.address] == paid[replicas[2].account.address] > 0
    assert sum(paid.values()) + over["refunded_units"] == 6_000_000


def test_the_store_of_a_minority_shows_no_answer(desk, asked, replicas):
    task = asked("--max-fee", "2000000")
    agree(task, replicas, "four", "four", "two")
    assert "two" in str(desk.store.get(f"{task[2:]}/output", 1 << 16))
    ran = desk.run("result", task)
    assert (ran.status, ran.out) == (2, "")
    assert "quorum" in ran.err


def test_replicas_that_disagree_return_the_money_and_say_why(desk, asked, replicas):
    task = asked("--max-fee", "2000000")
    agree(task, replicas, "four", "two", "plus")
    ran = desk.run("result", task)
    assert ran.status == 2
    assert "its replicas did not agree" in ran.err
    listed = desk.run("tasks", "--json").json()[0]
    assert (listed["state"], listed["paid_units"] > 0) == ("refunded", True)
    assert listed["paid_units"] + listed["refunded_units"] == 6_000_000


def test_how_far_the_replicas_are_is_said_while_they_work(desk, asked, replicas):
    task = asked("--max-fee", "2000000")
    replicas[0].claim(task)
    replicas[1].claim(task)
    replicas[1].commit(task, answer("prompt-1", "four"))
    assert "2 of 3 seats taken, 1 committed" in desk.run("watch", task, "--timeout-secs", "0").err
    cannot = desk.run("cancel", task)
    assert (cannot.status, "DESK-002" in cannot.err) == (2, True)


def test_the_class_that_was_served_last_is_taken_where_none_is_named(desk, asked, replicas):
    agree(asked("--max-fee", "2000000"), replicas, "four", "four", "four")
    ran = desk.run("submit", "what is 4", "--replicas", "3", "--yes", "--json", "--max-fee", "2000000")
    assert ran.status == 0, ran.err
    assert from_hex("class", ran.json()["class"]) == BY_HAND.digest()
    assert "engine by hand" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--replicas", "2"), "ASK-008"),
        (("--replicas", "9"), "ASK-008"),
        (("--class", "absent.json"), "CLASS-003"),
        (("--replicas", "3", "--class", "absent.json"), "CLASS-003"),
        (("--replicas", "3", "--max-fee", "100"), "QUOTE-001"),
    ],
)
def test_replicas_that_cannot_be_had_are_refused_before_anything_is_sent(desk, options, said):
    before = desk.footprint()
    ran = desk.run("submit", "what is 4", "--yes", *options)
    assert ran.status == 2
    assert said in ran.err
    assert desk.footprint() == before


def test_where_nothing_was_served_yet_the_measured_catalogue_names_the_class(desk):
    ran = desk.run("submit", "what is 4", "--replicas", "3", "--yes", "--json")
    assert ran.status == 0, ran.err
    digest = from_hex("class", ran.json()["class"])
    one = EquivalenceClass.decode(desk.store.get_checked(class_key(digest), digest, 1 << 16))
    assert (one.engine["engine"], one.engine["device"]) == ("vllm", "cpu")
    assert {"version", "dtype"} < one.engine.keys()
    assert len(one.strategies) > 1
    assert f"any of {len(one.strategies)} strategies measured exact" in ran.err


def test_a_class_for_one_worker_is_refused(desk, tmp_path):
    file = tmp_path / "class.json"
    file.write_bytes(BY_HAND.encoded())
    assert "ASK-009" in desk.run("submit", "what is 4", "--yes", "--class", str(file)).err


def test_a_file_that_is_no_class_is_refused(desk, tmp_path):
    file = tmp_path / "class.json"
    file.write_text(json.dumps({"quern": 1, "engine": {}, "strategies": []}))
    ran = desk.run("submit", "what is 4", "--yes", "--replicas", "3", "--class", str(file))
    assert (ran.status, "CLASS-003" in ran.err) == (2, True)


def test_a_quote_for_replicas_counts_every_fee_and_all_of_the_work(desk):
    one = desk.run("quote", "--output-tokens", "8", "--json").json()
    three = desk.run("quote", "--output-tokens", "8", "--replicas", "3", "--json").json()
    assert three["max_price_units"] == 3 * three["fee_units"]
    assert three["fee_units"] >= one["fee_units"]
    assert desk.run("quote", "--replicas", "4").status == 2
