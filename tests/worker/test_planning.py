"""What jobs went without, as the planner keeps it: until its meta-model or its engine says otherwise."""

from dataclasses import replace

import pytest

from engine.base import EngineError
from metainf import Selector
from metainf.choice import Choice
from metainf.model import MetaModel
from tests.worker.engine_room import MACHINE, job, served
from tests.worker.settled import STRATEGIES
from worker.database import Database
from worker.planning import Planner, Situation
from worker.progress import ProgressLog
from worker.selection import Chooser

MODEL = served()
UP = "seqs-1"


@pytest.fixture
def chooser():
    names = (UP, "seqs-8", "block-32")
    return Chooser(Selector.load(), MACHINE, STRATEGIES, names, {MODEL.id: MODEL})


@pytest.fixture
def planner(chooser, tmp_path):
    database = Database(tmp_path / "worker.sqlite")
    progress = ProgressLog(tmp_path / "progress.log")
    yield Planner(chooser, progress, database)
    progress.close()
    database.close()


def chosen(planner: Planner) -> Choice:
    """For a job of many prompts, which an engine that takes one at a time is slow at."""
    choice = planner.plan([job(MODEL, 1, prompts=32)], Situation(UP, (UP,), 0)).choice
    assert choice is not None
    return choice


def went_without(planner: Planner) -> dict[str, float]:
    """After one job, what the next choice is told."""
    planner.fed(MODEL, chosen(planner), [UP], [])
    return dict(chosen(planner).record.state.foregone_secs)


def test_an_adopted_meta_model_begins_without_credits(planner, chooser):
    assert went_without(planner).keys() == {"seqs-8", "block-32"}
    adopted = Selector(replace(MetaModel.load(), bound_log=0.5))
    chooser.adopt(adopted)
    record = chosen(planner).record
    assert record.meta_model_digest == adopted.meta_model_digest
    assert record.state.foregone_secs == {}
    assert went_without(planner)


def test_a_strategy_whose_engine_failed_loses_its_credit_and_no_other_does(planner):
    before = went_without(planner)
    planner.failed(
        EngineError("gone"), MODEL, {each.name: each for each in STRATEGIES}["seqs-8"], [job(MODEL, 1)], None
    )
    assert chosen(planner).record.state.foregone_secs == {"block-32": before["block-32"]}
