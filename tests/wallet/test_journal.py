"""The journal brings a request back bit for bit, and says so when it cannot."""

import json

import pytest

from protocol.domain import Domain
from protocol.request import Request
from wallet.journal import AmbiguousTask, DamagedJournal, Journal, JournalEntry, NotInJournal, parse_task_id

DOMAIN = Domain(31337, "0x" + "00" * 19 + "01")


def entry(salt: int = 1, domain: Domain = DOMAIN, created_at: int = 5) -> JournalEntry:
    request = Request(
        requester="0x" + "00" * 19 + "0a",
        salt=bytes([salt]) * 32,
        model_id=b"m" * 32,
        input_digest=b"i" * 32,
        params_digest=b"p" * 32,
        max_fee_units=10,
        flat_percent=20,
        tip_units=3,
        max_output_tokens=64,
        bond_units=1,
        deadline=1_000,
        lease_secs=60,
        input_uri="inputs/ab",
    )
    return JournalEntry(domain, request, "alice", "file:///store", 1, created_at)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "tasks")


def test_an_entry_comes_back_as_it_was(journal):
    journal.record(entry())
    journal.record(entry())
    assert journal.get(entry().task_id) == entry()
    assert [path.suffix for path in journal.folder.iterdir()] == [".json"]


def test_entries_are_those_of_one_market_oldest_first(journal):
    elsewhere = entry(4, Domain(1, DOMAIN.market))
    for written in (entry(2, created_at=9), entry(3, created_at=1), elsewhere):
        journal.record(written)
    assert journal.entries(DOMAIN) == (entry(3, created_at=1), entry(2, created_at=9))


def test_a_discarded_entry_is_gone(journal):
    journal.record(entry())
    journal.discard(entry().task_id)
    with pytest.raises(NotInJournal):
        journal.get(entry().task_id)


def test_a_changed_request_is_found_out(journal):
    journal.record(entry())
    path = next(journal.folder.glob("*.json"))
    content = json.loads(path.read_text())
    content["request"]["max_fee_units"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedJournal, match="does not hash"):
        journal.get(entry().task_id)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"quern": 2}'])
def test_an_unreadable_file_says_so(journal, content):
    journal.record(entry())
    next(journal.folder.glob("*.json")).write_text(content)
    with pytest.raises(DamagedJournal):
        journal.entries(DOMAIN)


def test_a_task_is_named_by_the_beginning_of_its_id():
    known = (b"\xab" * 32, b"\xac" * 32)
    assert parse_task_id("0xab", known) == known[0]
    assert parse_task_id("0x" + "cd" * 32) == b"\xcd" * 32
    for text in ("0xa", "0xff", "hello", "", "0x" + "a" * 65):
        with pytest.raises(AmbiguousTask):
            parse_task_id(text, known)
    with pytest.raises(AmbiguousTask, match="it is unknown: none of the 2"):
        parse_task_id("0xff", known)
    with pytest.raises(AmbiguousTask, match="it fits 2 of 2 known tasks; give more digits"):
        parse_task_id("0xa", known)
