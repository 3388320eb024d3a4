"""The sender's journal in the database: what is not durable yet, or came to nothing, is not there for others."""

import threading

import pytest

from chain.call import Call as MarketCall
from chain.journal import Intent, IntentState
from worker.artefacts import Call
from worker.database import Database
from worker.journal import DatabaseJournal
from worker.outbox_rows import key_of
from worker.steps import Step


def intent(serial: int, state: IntentState = IntentState.PLANNED) -> Intent:
    return Intent(key_of(Call.CLAIM, serial), MarketCall("claimMany", "0x" + "ab" * 20, b"data"), state=state)


@pytest.fixture
def database(tmp_path):
    opened = Database(tmp_path / "worker.db")
    yield opened
    opened.close()


def test_what_is_live_is_the_same_to_the_next_process(database):
    planned, signed, ended = (
        intent(1),
        intent(2, IntentState.SIGNED),
        intent(3, IntentState.DROPPED),
    )
    DatabaseJournal(database).put(planned, signed, ended)
    after = DatabaseJournal(database)
    assert after.live() == [planned, signed]
    assert [after.get(one.key) for one in (planned, signed, ended)] == [planned, signed, ended]


def test_a_plan_of_another_thread_is_seen_once_it_is_durable(database):
    journal = DatabaseJournal(database)
    planned, looking, seen = intent(1), threading.Event(), []

    def look():
        looking.set()
        seen.append(journal.live())

    other = threading.Thread(target=look)
    with database.transaction(Step.DECIDE):
        journal.put(planned)
        other.start()
        looking.wait()
        other.join(0.2)
        assert seen == []
    other.join()
    assert seen == [[planned]]


def test_a_plan_whose_transaction_came_to_nothing_is_forgotten(database):
    journal = DatabaseJournal(database)
    kept, lost = intent(1), intent(2)
    journal.put(kept)

    def plan_and_die():
        with database.transaction(Step.DECIDE):
            journal.put(lost)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_and_die()
    assert journal.live() == [kept]
    assert journal.get(lost.key) is None
