"""A worker that retrains beside its work: what is better on its latest jobs chooses, and anybody can make its choices
again.
"""

import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import exp
from pathlib import Path
from random import Random

import pytest

from auditor.meta_models import published
from chain.store import ContentStore
from metainf import SelectionState, Selector, Workload
from metainf.model import SHIPPED_TABLE, MetaModel
from metainf.table import read_table, write_table
from protocol.batchfile import OutputEntry
from tests.auditor.support import MODEL_DIR
from tests.metainf.makers import of_few_tasks
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
from worker.champion import Champion, Retrained
from worker.codes import Reason
from worker.config import Chain, Keys, Learning, Model, Store, WorkerConfig
from worker.database import Database, Decided
from worker.learning import Learning as Corrections
from worker.retraining import Retraining
from worker.selection import Chooser
from worker.steps import Step


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the shipped one, so that training is quick."""
    rows = of_few_tasks(read_table(SHIPPED_TABLE), 12)
    path = tmp_path_factory.mktemp("table") / "few.parquet"
    write_table(rows, path)
    return path


@pytest.fixture
def config(tmp_path, table) -> WorkerConfig:
    (tmp_path / "worker").mkdir()
    return WorkerConfig(
        state_dir=tmp_path / "worker",
        chain=Chain(deployment=tmp_path / "none.json"),
        store=Store(url=(tmp_path / "store").as_uri()),
        keys=Keys(keystore=tmp_path / "none"),
        models=(Model(path=MODEL_DIR),),
        # At the lowest priority it would wait for every other test.
        learning=Learning(table=table, niceness=0),
    )


def serve(config: WorkerConfig, number: int, slower_reading: float, disputed: bool = False) -> None:
    """One job that settled: its receipt in the store, its task in the database."""
    rng = Random(number)
    store = ContentStore(config.store.url)
    reads = rng.random() < 0.5
    prompts, asked, written = rng.randint(1, 6), *((90, 4) if reads else (10, 40))
    work = Workload.from_token_ids(
        [[9 + place] * asked for place in range(prompts)], [written] * prompts, greedy=prompts
    )
    strategy = rng.choice([each for each in STRATEGIES if each.name in ("default", "seqs-8", "ngram-4")])
    record = SELECTOR.select(FACTS, MACHINE, work, SelectionState(), [strategy]).record
    secs = record.predictions[0].total_secs * (slower_reading if reads else 1.0) * exp(rng.gauss(0, 0.03))
    entries = [OutputEntry(f"q{place}", "", (1,) * written, "length", asked) for place in range(prompts)]
    store_receipt(store, number, record, entries, secs)
    database = Database(config.database)
    with database.transaction(Step.FOLLOW):
        database.save_tasks([settled_task(number)])
        if disputed:
            database.note([Decided(settled_task(number).id, NOW, Reason("DISPUTE-001", "by somebody"))])
    database.close()


def retraining(config: WorkerConfig) -> tuple[Retraining, Chooser]:
    chooser = Chooser(Selector(Champion(config).load()), MACHINE, STRATEGIES, (), {})
    return Retraining(config, ContentStore(config.store.url), chooser, WORKER), chooser


def test_what_is_better_on_the_latest_jobs_chooses_and_its_choices_can_be_made_again(config):
    for number in range(1, 91):
        serve(config, number, slower_reading=5.0)
    configured = MetaModel.load().digest()
    retrains, chooser = retraining(config)
    found = retrains.run()
    assert found is not None
    assert found.code == "LEARN-001", found.text
    assert chooser.meta_model_digest != configured
    assert Champion(config).latest() == found

    learned = Champion(config).load()
    assert learned.digest() == chooser.meta_model_digest
    assert learned.provenance["retrained_from"] == configured
    record = (
        Selector(learned)
        .select(FACTS, MACHINE, Workload.from_token_ids([[7] * 30], [8]), SelectionState(), STRATEGIES)
        .record
    )
    auditors = ContentStore(config.store.url, read_only=True)
    assert published(auditors, record.meta_model_digest).replay(record).record == record

    # Residuals of the meta-model before say nothing of this one.
    database = Database(config.database)
    corrections = Corrections(database, auditors, chooser, nullcontext(), WORKER)
    corrections.refresh()
    assert chooser.correctors == {}
    database.close()

    # A worker that is told not to retrain, or is given another meta-model, does not use what it learned before.
    off = config.model_copy(update={"learning": Learning(retrain_hours=0)})
    assert Champion(off).load().digest() == configured
    other = config.state_dir / "other.json"
    other.write_bytes(replace(MetaModel.load(), bound_log=0.5).to_bytes())
    given = config.model_copy(update={"engine": config.engine.model_copy(update={"meta_model": other})})
    assert Champion(given).load() == MetaModel.load(other)

    # And a store that is new to it gets what its receipts will name.
    moved = config.model_copy(update={"store": Store(url=(config.state_dir / "moved").as_uri())})
    retraining(moved)[0].publish()
    assert published(ContentStore(moved.store.url), learned.digest()).meta_model_digest == learned.digest()


def test_what_the_meta_model_foresees_already_changes_nothing(config):
    for number in range(1, 91):
        serve(config, number, slower_reading=1.0)
    retrains, chooser = retraining(config)
    found = retrains.run()
    assert found is not None
    assert found.code == "LEARN-002", found.text
    assert chooser.meta_model_digest == Champion(config).load().digest() == MetaModel.load().digest()


def test_jobs_that_were_challenged_do_not_count(config):
    for number in range(1, 71):
        serve(config, number, slower_reading=5.0, disputed=number > 30)
    found = retraining(config)[0].run()
    assert found is not None
    assert found.code == "LEARN-003"
    assert "30" in found.text
    assert Champion(config).latest() == found


def test_a_worker_that_stops_does_not_wait_for_its_challenger(config):
    for number in range(1, 91):
        serve(config, number, slower_reading=5.0)
    retrains, chooser = retraining(config)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(retrains.run()))
    thread.start()
    retrains.stop()
    thread.join(30)
    assert ended == [None]
    assert retrains.run() is None
    assert chooser.meta_model_digest == MetaModel.load().digest()


def test_the_period_runs_on_while_the_worker_is_away(config):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    retrains, _ = retraining(config)
    assert retrains.first(now) == now + timedelta(hours=24)
    Champion(config).note(Retrained((now - timedelta(hours=20)).timestamp(), "LEARN-002", ""))
    assert retrains.first(now) == now + timedelta(hours=4)
    Champion(config).note(Retrained((now - timedelta(days=9)).timestamp(), "LEARN-002", ""))
    assert retrains.first(now) == now + timedelta(minutes=10)
