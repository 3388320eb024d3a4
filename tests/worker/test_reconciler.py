"""What the reconciler makes of news from the chain, with its own database and outbox and nobody to send to."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from chain.call import Call as CallOfMarket
from chain.follower import Cursor
from chain.journal import Intent, IntentState, TxReceipt
from protocol.lifecycle import SeatState, TaskState
from tests.worker.makers import ME, NOW, OTHER, leased, task, view
from worker.artefacts import Call, Stage
from worker.database import Database, Result
from worker.outbox import Outbox
from worker.outbox_rows import Sending
from worker.reconciler import Parts, Reconciler
from worker.steps import Step
from worker.task import Seat
from worker.view import View


@pytest.fixture
def database(tmp_path):
    opened = Database(tmp_path / "worker.db")
    yield opened
    opened.close()


def reconciler(database, seen):
    lock = threading.RLock()
    unused: Any = None
    sender: Any = SimpleNamespace(intent=lambda key: None)
    host: Any = SimpleNamespace(recover=lambda to_run: None, drop=lambda task_id: None)
    parts = Parts(
        database=database,
        view=seen,
        calls=unused,
        outbox=Outbox(sender, database, lock),
        dispatcher=unused,
        fetcher=unused,
        storer=unused,
        host=host,
        models={},
        domain=unused,
        policy=unused,
        clock=unused,
        batch_sizes={},
    )
    return Reconciler(parts, lock)


def send(database: Database, *sendings: Sending) -> None:
    with database.transaction(Step.PLAN, sendings[0].call):
        for sending in sendings:
            database.open_sending(sending)


def keep_result(database: Database, task_id: bytes) -> None:
    with database.transaction(Step.DECIDE):
        database.save_results([Result(task_id, b"body", 5, 5, 1, "plain", "", 0, 1, b"output", b"receipt")])


def test_what_is_still_to_be_mined_is_under_way_again_after_a_reorganisation(database):
    held, other, gone = leased(1), task(2), task(3).id
    send(
        database,
        Sending("a", Call.RELEASE, (held.id,)),
        Sending("b", Call.CLAIM, (gone,)),
        Sending("c", Call.ANSWER, (other.id,), leaf=7),
    )
    made = reconciler(database, view(held, other))
    for one in (held.id, other.id):
        made.lost(one)
    made.rewound([held, other], [gone])
    assert made.artefacts[held.id].under_way is Call.RELEASE
    assert made.artefacts[gone].under_way is Call.CLAIM
    assert made.artefacts[other.id].answering == {7}


def test_a_claim_mined_in_an_orphaned_block_is_not_waited_for_on_a_shorter_branch(database):
    """Where blocks come only with transactions, the branch might never be as long as the one before."""
    seen = view(task(1))
    (task_id,) = seen.tasks
    send(database, Sending("a", Call.CLAIM, (task_id,)))
    made = reconciler(database, seen)
    with database.transaction(Step.FOLLOW):
        database.set_cursor(Cursor(90, b"hash"))
    receipt = TxReceipt(b"tx", 100, b"orphaned", success=True, gas_used=1, gas_price_wei=1)
    intent = Intent("a", CallOfMarket("claimMany", "", b""), IntentState.CONFIRMED, receipt=receipt)
    made._parts.outbox._note_outcomes([intent])
    assert not made._parts.outbox.take(database.block_taken_in())
    made.rewound([seen.tasks[task_id]], [])
    assert made.artefacts[task_id].under_way is Call.CLAIM
    made._intake.sent(made._parts.outbox.take(database.block_taken_in()))
    assert made.artefacts[task_id].under_way is None


@pytest.mark.parametrize(
    ("stage", "dropped"),
    [(Stage.QUEUED, True), (Stage.RUNNING, True), (Stage.GENERATED, True), (Stage.SAVED, False)],
)
def test_the_engine_is_rid_of_a_task_that_ends_while_it_has_it(database, stage, dropped):
    """Somebody else had it after a reorganisation took the lease away."""
    seen = view(leased(1))
    (task_id,) = seen.tasks
    made = reconciler(database, seen)
    gone: list[bytes] = []
    made._parts.host.drop = gone.append
    made._stock.of(task_id).stage = stage
    made.ended(task_id)
    assert gone == [task_id] * dropped
    assert task_id not in made.artefacts


def won() -> View:
    made = task(1, state=TaskState.POSTED, until=NOW + 5, replicas=3, equivalence=b"\x44" * 32)
    made.seats = tuple(Seat(who, SeatState.REVEALED, NOW + 60, b"verdict") for who in (ME, OTHER))
    made.mine = True
    return view(made)


@pytest.mark.parametrize(
    ("stage", "kept"), [(Stage.SEALED, True), (Stage.STORING, True), (Stage.SAVED, False)]
)
def test_a_result_stays_at_hand_after_its_round_until_it_is_stored(database, stage, kept):
    seen = won()
    (task_id,) = seen.tasks
    keep_result(database, task_id)
    made = reconciler(database, seen)
    assert made.artefacts[task_id].stage is Stage.SEALED, "a start finds it, and stores it once more"
    made.artefacts[task_id].stage = stage
    made.posted(task_id)
    assert (task_id in made._stock.results) is kept
