"""What a worker learns from its own settled jobs, read back from the store, and how its next choice uses it."""

from contextlib import nullcontext
from dataclasses import replace
from math import log

import pytest

from chain.store import ContentStore, receipt_key
from metainf import HardwareFacts, ModelFacts, SelectionState, Selector, Workload, catalogue
from metainf.online import model_family
from protocol.batchfile import OutputEntry, OutputFile
from protocol.domain import Domain
from protocol.lifecycle import TaskState
from tests.auditor.support import MODEL_DIR
from tests.honest import receipt_of
from tests.worker.makers import NOW, task
from worker.database import Database
from worker.learning import Learning
from worker.selection import Chooser
from worker.steps import Step

MACHINE = HardwareFacts("cpu", "test CPU", 1, 16 << 30, 256 << 20, 40_000_000_000, 100_000_000_000)
STRATEGIES = catalogue("cpu", "0.32.0")
FACTS = ModelFacts.from_dir(MODEL_DIR)
SELECTOR = Selector.load()
DOMAIN = Domain(31337, "0x" + "11" * 20)
WORKER = "0x" + "22" * 20


def store_job(store, number, slower, worker=WORKER):
    """A job of four prompts that took so many times what was predicted."""
    work = Workload.from_token_ids([[9 + place] * 24 for place in range(4)], [8] * 4)
    choice = SELECTOR.select(FACTS, MACHINE, work, SelectionState(), STRATEGIES)
    taken = next(each for each in choice.predictions if each.strategy == choice.strategy.name)
    entries = tuple(OutputEntry(f"q{place}", "", (1,) * 8, "length", 24) for place in range(4))
    one = number.to_bytes(32, "big")
    document = receipt_of(
        OutputFile(entries),
        DOMAIN,
        one,
        worker,
        {"engine": "vllm", "version": "0.32.0"},
        choice.record.to_json(),
    )
    started = 1_000_000 * number
    body = replace(
        document.body, started_at_ms=started, finished_at_ms=started + round(1000 * slower * taken.total_secs)
    )
    store.put(receipt_key(one), replace(document, body=body).encoded())
    return one


@pytest.fixture
def store(tmp_path):
    return ContentStore((tmp_path / "store").as_uri())


def learning(folder, store, settled, **options):
    chooser = Chooser(SELECTOR, MACHINE, STRATEGIES, (), {}, **options)
    database = Database(folder / "worker.sqlite")
    ended = [
        replace(task(state=TaskState.SETTLED), id=each, mine=True, ended_at=NOW + place)
        for place, each in enumerate(settled)
    ]
    lost = replace(task(state=TaskState.SETTLED), id=b"\xee" * 32, mine=True, held_before=True, ended_at=NOW)
    with database.transaction(Step.LEARN):
        database.save_tasks([*ended, lost])
    assert database.settled(2) == settled[-2:][::-1]
    return Learning(database, store, chooser, nullcontext(), WORKER), chooser


def test_jobs_that_took_twice_as_long_correct_every_prediction(store, tmp_path):
    settled = [store_job(store, number, slower=2.0) for number in range(1, 41)]
    learner, chooser = learning(tmp_path, store, settled)
    learner.refresh()
    found = chooser.corrections[model_family(FACTS)]
    assert found[""] == pytest.approx(log(2), rel=0.15)


def test_what_the_store_lacks_or_somebody_broke_teaches_nothing(store, tmp_path):
    good = [store_job(store, number, slower=1.5) for number in range(1, 6)]
    broken = store_job(store, 99, slower=9.0)
    store.put(receipt_key(broken), store.get(receipt_key(broken), 1 << 20).replace(b'"vllm"', b'"mine"'))
    learner, chooser = learning(tmp_path, store, [*good, broken, bytes(32)])
    learner.refresh()
    (tmp_path / "other").mkdir()
    alone, chooser_alone = learning(tmp_path / "other", store, good)
    alone.refresh()
    assert chooser.corrections == chooser_alone.corrections != {}


def test_a_replicas_receipt_in_the_store_is_of_another_machine(store, tmp_path):
    settled = [store_job(store, number, slower=2.0, worker="0x" + "33" * 20) for number in range(1, 41)]
    learner, chooser = learning(tmp_path, store, settled)
    learner.refresh()
    assert chooser.corrections == {}


def test_nothing_settled_corrects_nothing(store, tmp_path):
    learner, chooser = learning(tmp_path, store, [])
    learner.refresh()
    assert chooser.corrections == {}
