"""What fails is left alone for a while, for work of that size, and is there for the meta-model to learn from."""

import os
import signal
import sqlite3

import pytest
from typer.testing import CliRunner

from engine.base import EngineCrashed, EngineFacts, EngineHung, EngineOutOfMemory, EngineStartFailed
from metainf import Workload, catalogue
from metainf.table import read_table, write_table
from quern.worker import app
from tests.worker.engine_room import MACHINE, EngineRoom, engine_room, job, served
from tests.worker.harness import eventually
from tests.worker.test_machine import config
from worker.database import Database
from worker.jobs import Failed
from worker.results import Generated
from worker.steps import Step
from worker.template import render
from worker.trouble import Trouble, Troubles, measurement_of, trouble

MODEL = served()
FACTS = EngineFacts("vllm", "0.32.0", "cpu", "float32", 512, "CPU_ATTN", 1, 1, {}, 4.0)
WORK = Workload.from_token_ids([(1, 2, 3)] * 4, [10] * 4)
STRATEGY = catalogue("cpu", "0.32.0")[0]
BOTH = ("block-32", "seqs-8")


def _one(at: float = 0.0, tokens: int = 100, strategy: str = "seqs-8") -> Trouble:
    return Trouble(at, MODEL.id, strategy, "crashed", "it crashed", tokens, "{}")


@pytest.mark.parametrize(
    ("failures", "rests_secs"), [(1, 600), (2, 1200), (3, 2400), (8, 76_800), (9, 86_400), (2_000, 86_400)]
)
def test_each_failure_in_a_row_doubles_the_rest_up_to_a_day(failures, rests_secs):
    troubles = Troubles([_one(at=float(number)) for number in range(failures)])
    last = failures - 1.0
    assert "seqs-8" in troubles.resting(MODEL.id, 100, last + rests_secs - 1)
    assert not troubles.resting(MODEL.id, 100, last + rests_secs)


def test_only_work_of_that_size_on_that_model_is_kept_away():
    troubles = Troubles([_one()])
    assert not troubles.resting(MODEL.id, 99, 1.0)
    assert not troubles.resting(b"another model", 100, 1.0)
    assert troubles.resting(MODEL.id, 100, 1.0) == {"seqs-8": "crashed 1.0 s ago"}


def test_success_ends_the_rest_for_what_it_was_as_large_as():
    troubles = Troubles([_one(tokens=0), _one(tokens=100), _one(tokens=1000)])
    assert troubles.forgive(MODEL.id, "seqs-8", 100)
    assert not troubles.resting(MODEL.id, 999, 1.0)
    assert troubles.resting(MODEL.id, 1000, 1.0)
    assert not troubles.forgive(MODEL.id, "seqs-8", 100)
    assert troubles.forgive(MODEL.id, "seqs-8", 1000)
    assert not troubles.resting(MODEL.id, 1000, 1.0)


@pytest.mark.parametrize(
    ("error", "facts", "outcome", "tokens"),
    [
        (EngineCrashed("gone"), FACTS, "crashed", 52),
        (EngineHung("silent"), FACTS, "hung", 52),
        (EngineOutOfMemory("no memory"), FACTS, "crashed", 52),
        (EngineStartFailed("no"), None, "start-failed", 0),
        (EngineOutOfMemory("no memory"), None, "start-failed", 52),
    ],
)
def test_a_failure_is_a_row_of_a_table_of_measurements(tmp_path, error, facts, outcome, tokens):
    each = trouble(error, MODEL, STRATEGY, MACHINE, WORK, facts)
    assert (each.outcome, each.tokens) == (outcome, tokens)
    write_table([measurement_of(each)], tmp_path / "table.parquet")
    [row] = read_table(tmp_path / "table.parquet")
    assert (row.outcome, row.problem, row.strategy) == (outcome, str(error), STRATEGY.name)
    assert (row.model, row.hardware, row.workload) == (MODEL.facts, MACHINE, WORK)
    assert row.strategy_digest == STRATEGY.digest()


def _strategy(room: EngineRoom, number: int, prompts: int = 1) -> str:
    [outcome] = room.run([job(MODEL, number, prompts, strategies=BOTH)])
    assert isinstance(outcome, Generated)
    return outcome.run.strategy


def _fail(room: EngineRoom, number: int, how: signal.Signals, prompts: int = 1) -> Failed:
    """The engine is killed, or stopped, while it works."""
    task = job(MODEL, number, prompts, strategies=BOTH)
    room.host.submit([task])
    eventually(lambda: task.task_id in room.host.status().running, "the task is in the engine")
    for resident in room.host._fleet:
        os.kill(resident.pid, how)
    [outcome] = room.wait([task.task_id])
    assert isinstance(outcome, Failed)
    return outcome


def test_after_a_crash_the_next_work_of_that_size_goes_to_another_strategy_and_smaller_work_does_not(
    tmp_path,
):
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=20.0, resident=1) as room:
        first = _strategy(room, 1)
        _fail(room, 2, signal.SIGKILL, prompts=8)
        assert _strategy(room, 3) == first
        assert _strategy(room, 4, prompts=8) != first
        [kept] = room.database.troubles()
        assert (kept.strategy, kept.outcome) == (first, "crashed")
    with engine_room(tmp_path, MODEL) as room:
        assert _strategy(room, 5, prompts=8) != first


def test_an_engine_that_hangs_is_killed_and_its_strategy_left_alone(tmp_path):
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=4.0, hang_secs=1.5, resident=1) as room:
        first = _strategy(room, 1)
        failed = _fail(room, 2, signal.SIGSTOP)
        assert "ENGINE-007" in failed.why
        assert _strategy(room, 3) != first
        assert [each.outcome for each in room.database.troubles()] == ["hung"]


def test_with_no_other_strategy_the_same_is_tried_again_and_success_is_remembered(tmp_path):
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=20.0, strategies=("seqs-8",)) as room:
        task = job(MODEL, 1)
        room.host.submit([task])
        eventually(lambda: task.task_id in room.host.status().running, "the task is in the engine")
        for resident in room.host._fleet:
            os.kill(resident.pid, signal.SIGKILL)
        room.wait([task.task_id])
        [outcome] = room.run([job(MODEL, 2)])
        assert isinstance(outcome, Generated)
        assert [each.forgiven for each in room.database.troubles()] == [1]


def test_a_host_that_can_no_longer_write_ends_the_worker_instead_of_doing_nothing(tmp_path):
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=20.0) as room:
        task = job(MODEL, 1, strategies=BOTH)
        room.host.submit([task])
        eventually(lambda: task.task_id in room.host.status().running, "the task is in the engine")
        room.database.close()
        for resident in room.host._fleet:
            os.kill(resident.pid, signal.SIGKILL)
        with pytest.raises(sqlite3.ProgrammingError):
            room.wait([task.task_id])


def test_the_failures_are_listed_and_written_as_a_table_by_the_command(tmp_path):
    """Of a worker's database, from outside."""
    settings = config(tmp_path, kind="fake")
    (tmp_path / "config.toml").write_text(render(settings))
    command = ["troubles", "--config", str(tmp_path / "config.toml")]
    assert "No engine has failed." in CliRunner().invoke(app, command).output
    database = Database(settings.database)
    with database.transaction(Step.NOTE_TROUBLE):
        database.save_trouble(trouble(EngineHung("silent"), MODEL, STRATEGY, MACHINE, WORK, FACTS))
    database.close()
    shown = CliRunner().invoke(app, [*command, "--table", str(tmp_path / "out.parquet")])
    assert f"{STRATEGY.name} hung with 52 tokens: ENGINE-007 silent" in shown.output
    assert [row.outcome for row in read_table(tmp_path / "out.parquet")] == ["hung"]
    CliRunner().invoke(app, [*command, "--table", str(tmp_path / "out.parquet")])
    assert len(read_table(tmp_path / "out.parquet")) == 1
