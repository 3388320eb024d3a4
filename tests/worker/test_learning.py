"""What a worker learns from its own settled jobs, read back from the store, and how its next choice uses it."""

from contextlib import nullcontext
from dataclasses import replace
from math import log

import pytest

from chain.store import ContentStore, receipt_key
from metainf import SelectionState, Workload
from metainf.corrector import REMEMBERED_JOBS
from metainf.online import model_family
from protocol.batchfile import OutputEntry
from tests.worker.engine_room import job, served
from tests.worker.makers import NOW
from tests.worker.settled import (
    FACTS,
    MACHINE,
    SELECTOR,
    STRATEGIES,
    WORKER,
    settled_task,
    store_receipt,
)
from worker.database import Database
from worker.learning import Learning
from worker.selection import Chooser
from worker.steps import Step


def store_job(store, number, slower, worker=WORKER):
    """A job of four prompts that took so many times what was predicted."""
    work = Workload.from_token_ids([[9 + place] * 24 for place in range(4)], [8] * 4)
    choice = SELECTOR.select(FACTS, MACHINE, work, SelectionState(), STRATEGIES)
    taken = next(each for each in choice.predictions if each.strategy == choice.strategy.name)
    entries = [OutputEntry(f"q{place}", "", (1,) * 8, "length", 24) for place in range(4)]
    store_receipt(store, number, choice.record, entries, slower * taken.total_secs, worker)
    return number.to_bytes(32, "big")


@pytest.fixture
def store(tmp_path):
    return ContentStore((tmp_path / "store").as_uri())


def learning(folder, store, settled, **options):
    chooser = Chooser(SELECTOR, MACHINE, STRATEGIES, (), {}, **options)
    database = Database(folder / "worker.sqlite")
    ended = [
        replace(settled_task(int.from_bytes(each, "big")), ended_at=NOW + place)
        for place, each in enumerate(settled)
    ]
    lost = replace(settled_task(2**32), held_before=True, ended_at=NOW)
    with database.transaction(Step.LEARN):
        database.save_tasks([*ended, lost])
    assert database.settled(2) == settled[-2:][::-1]
    return Learning(database, store, chooser, nullcontext(), WORKER), chooser


def test_jobs_that_took_twice_as_long_correct_every_prediction(store, tmp_path):
    settled = [store_job(store, number, slower=2.0) for number in range(1, 41)]
    learner, chooser = learning(tmp_path, store, settled)
    learner.refresh()
    job = chooser.correctors[model_family(FACTS)].residuals[0]
    assert chooser.correctors[model_family(FACTS)].mean(job) == pytest.approx(log(2), rel=0.02)


def test_the_next_choice_counts_less_what_never_ran_and_expects_of_it_what_the_jobs_say(store, tmp_path):
    settled = [store_job(store, number, slower=1.0) for number in range(1, 41)]
    learner, chooser = learning(tmp_path, store, settled)
    learner.refresh()
    model = replace(served(), facts=FACTS)
    record = chooser.choose(model, [job(model, 1).checked], SelectionState()).record
    [ran] = {each.strategy for each in chooser.correctors[model_family(FACTS)].residuals}
    others = {strategy.name for strategy in STRATEGIES} - {ran}
    assert record.state.optimism_ratio.keys() == others
    assert all(0 < ratio < 0.06 for ratio in record.state.optimism_ratio.values())
    assert all(abs(log_ratio) < 0.01 for log_ratio in record.state.corrections_log.values())


def test_the_log_says_how_many_jobs_correct_and_not_how_many_were_read(store, tmp_path, caplog):
    settled = [store_job(store, number, slower=2.0) for number in range(1, REMEMBERED_JOBS + 8)]
    learner, _ = learning(tmp_path, store, settled)
    with caplog.at_level("INFO", logger="quern.worker.learning"):
        learner.refresh()
    assert f"corrected by {REMEMBERED_JOBS} jobs that ran alone, for 1 kinds of model" in caplog.text


def test_what_the_store_lacks_or_somebody_broke_teaches_nothing(store, tmp_path):
    good = [store_job(store, number, slower=1.5) for number in range(1, 6)]
    broken = store_job(store, 99, slower=9.0)
    store.put(receipt_key(broken), store.get(receipt_key(broken), 1 << 20).replace(b'"vllm"', b'"mine"'))
    learner, chooser = learning(tmp_path, store, [*good, broken, bytes(32)])
    learner.refresh()
    (tmp_path / "other").mkdir()
    alone, chooser_alone = learning(tmp_path / "other", store, good)
    alone.refresh()
    assert chooser.correctors == chooser_alone.correctors != {}


def test_a_replicas_receipt_in_the_store_is_of_another_machine(store, tmp_path):
    settled = [store_job(store, number, slower=2.0, worker="0x" + "33" * 20) for number in range(1, 41)]
    learner, chooser = learning(tmp_path, store, settled)
    learner.refresh()
    assert chooser.correctors == {}


def test_nothing_settled_corrects_nothing(store, tmp_path):
    learner, chooser = learning(tmp_path, store, [])
    learner.refresh()
    assert chooser.correctors == {}
