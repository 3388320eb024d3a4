"""Engines side by side: changing between them starts none, and which one goes when room is short."""

import itertools
import json
import os
import signal
from dataclasses import dataclass

import pytest

from metainf import ModelFacts, SelectionRecord
from protocol.params import GenerationParams
from tests.worker.engine_room import EngineRoom, again, engine_room, job, served
from tests.worker.harness import eventually
from worker.fleet import Place, evicted
from worker.jobs import Job
from worker.results import Generated

MODEL = served()
GIB = 1 << 30


@pytest.mark.parametrize(
    ("worths", "busy", "most", "limit_gib", "free_gib", "goes"),
    [
        ((), (), 1, 1, 0, []),
        ((5.0,), (), 2, 9, 9, []),
        ((5.0, 1.0, 3.0), (), 3, 9, 9, [1]),
        ((5.0, 1.0, 3.0), (1,), 3, 9, 9, [2]),
        ((5.0, 1.0, 3.0), (0, 1, 2), 3, 9, 9, None),
        ((5.0, 1.0, 3.0), (), 9, 3, 9, [1]),
        ((5.0, 1.0, 3.0), (), 9, 2, 9, [1, 2]),
        ((5.0, 1.0, 3.0), (), 9, 9, 0, [1]),
        ((5.0, 1.0), (0,), 9, 1, 9, None),
        ((5.0, 1.0), (), 1, 9, 9, [1, 0]),
        ((5.0,), (), 9, 0, 0, [0]),
    ],
)
def test_the_least_worth_goes_first_none_that_works_and_no_more_than_must(
    worths, busy, most, limit_gib, free_gib, goes
):
    """Each takes one GiB, and so does the new one."""
    places = [Place(worth, GIB, index in busy) for index, worth in enumerate(worths)]
    assert evicted(places, GIB, most, limit_gib * GIB, free_gib * GIB) == goes


def _ran_under(room: EngineRoom, number: int, strategy: str, prompts: int = 1) -> None:
    [outcome] = room.run([job(MODEL, number, prompts, strategies=(strategy,))])
    assert isinstance(outcome, Generated)
    assert outcome.run.strategy == strategy


def _at_work(room: EngineRoom, number: int, strategy: str) -> None:
    slow = job(MODEL, number, params=GenerationParams(max_tokens=100), strategies=(strategy,))
    room.host.submit([slow])
    eventually(lambda: slow.task_id in room.host.status().running, "it is at work")


def test_a_strategy_whose_engine_is_up_is_changed_to_without_a_start(tmp_path):
    with engine_room(tmp_path, MODEL, resident=2) as room:
        for number, strategy in enumerate(["seqs-8", "block-32"] * 4):
            _ran_under(room, number, strategy)
        status = room.host.status()
        assert (status.starts, len(status.resident)) == (2, 2)


def test_the_choice_is_recorded_with_the_engines_that_were_up(tmp_path):
    with engine_room(tmp_path, MODEL, resident=2) as room:
        _ran_under(room, 1, "seqs-8")
        _ran_under(room, 2, "block-32")
        [outcome] = room.run([job(MODEL, 3, strategies=("block-32", "seqs-8"))])
        assert isinstance(outcome, Generated)
        record = SelectionRecord.from_json(json.loads(outcome.run.selection))
        assert record.state.resident == ("block-32", "seqs-8")
        assert record.state.running == "block-32"
        assert {each.restart_secs for each in record.predictions} == {0.0}


def test_tasks_that_go_together_began_at_the_same_moment(tmp_path):
    """By choice and beginning their receipts are put together again, for the meta-model to learn from."""
    with engine_room(tmp_path, MODEL) as room:
        outcomes = room.run([job(MODEL, number, strategies=("seqs-8",)) for number in range(8)])
        runs = {
            (each.started_at, each.run.selection_digest) for each in outcomes if isinstance(each, Generated)
        }
        # The first may have gone before the others were there.
        assert len(runs) <= 2


def test_with_room_for_one_engine_each_change_is_a_start(tmp_path):
    with engine_room(tmp_path, MODEL, resident=1) as room:
        for number, strategy in enumerate(["seqs-8", "block-32", "seqs-8"]):
            _ran_under(room, number, strategy)
        assert room.host.status().starts == 3


def test_the_engine_used_least_is_let_go(tmp_path):
    with engine_room(tmp_path, MODEL, resident=2) as room:
        numbers = itertools.count()
        for strategy in ("seqs-8", "seqs-8", "seqs-8", "block-32", "ngram-2"):
            _ran_under(room, next(numbers), strategy)
        up = room.host.status().resident
        assert {name.split()[0] for name in up} == {"seqs-8", "ngram-2"}


@dataclass(frozen=True)
class GibEach:
    """Memory in which every engine takes one GiB, and all together at most so many."""

    most: int

    @property
    def limit_bytes(self) -> int:
        return self.most * GIB

    def free_bytes(self) -> int:
        return 99 * GIB

    def needed_bytes(self, model: ModelFacts) -> int:
        return GIB

    def taken_bytes(self, group: int) -> int:
        return GIB


@pytest.mark.parametrize(
    ("most", "room_gib", "working", "leave"),
    [
        (3, 9, "", []),
        (2, 9, "", ["block-32"]),
        (9, 2, "", ["block-32"]),
        (9, 1, "", ["block-32", "seqs-8"]),
        (2, 9, "block-32", ["seqs-8"]),
    ],
)
def test_the_engines_that_one_more_is_said_to_end_are_those_it_ends(tmp_path, most, room_gib, working, leave):
    with engine_room(tmp_path, MODEL, resident=most, fake_tokens_per_sec=20.0) as room:
        fleet = room.host._fleet
        fleet._memory = GibEach(9)
        numbers = itertools.count()
        for strategy in ("seqs-8", "seqs-8", "seqs-8", "block-32"):
            _ran_under(room, next(numbers), strategy)
        fleet._memory = GibEach(room_gib)
        if working:
            _at_work(room, next(numbers), working)
        before = set(fleet.strategies(MODEL))
        said = fleet.leaving(MODEL, (), beside_work=bool(working))
        assert fleet.make_room(MODEL, ())
        assert sorted(said) == sorted(before - set(fleet.strategies(MODEL))) == leave


def test_the_only_engine_is_said_to_end_though_it_works_and_must_be_waited_for(tmp_path):
    with engine_room(tmp_path, MODEL, resident=1, fake_tokens_per_sec=20.0) as room:
        _at_work(room, 1, "seqs-8")
        assert not room.host._fleet.make_room(MODEL, ())
        assert room.host._fleet.leaving(MODEL, (), beside_work=True) == ("seqs-8",)


def test_the_planner_is_told_of_the_engine_that_the_next_start_ends_though_it_is_at_work(
    tmp_path, monkeypatch
):
    told: list[tuple[str, ...]] = []
    with engine_room(tmp_path, MODEL, resident=2) as room:
        fed = room.host._planner.fed

        def listening(model, choice, up, leaving):
            told.append(tuple(leaving))
            fed(model, choice, up, leaving)

        monkeypatch.setattr(room.host._planner, "fed", listening)
        for number, strategy in enumerate(("seqs-8", "seqs-8", "seqs-8", "block-32")):
            _ran_under(room, number, strategy)
        before = set(room.host._fleet.strategies(MODEL))
        _ran_under(room, 9, "ngram-2")
        assert before - set(room.host._fleet.strategies(MODEL)) == set(told[3])


def test_one_engine_generates_at_a_time_unless_more_are_allowed(tmp_path):
    for generating, together in ((1, 1), (2, 2)):
        with engine_room(
            tmp_path / str(generating), MODEL, resident=2, generating=generating, fake_tokens_per_sec=12.0
        ) as room:
            slow = [job(MODEL, 1, strategies=("seqs-8",)), job(MODEL, 2, strategies=("block-32",))]
            room.host.submit(slow)
            seen: set[int] = set()

            def both_through(room=room, seen=seen, slow=slow) -> bool:
                seen.add(len(room.host.status().running))
                room.outcomes |= {outcome.task_id: outcome for outcome in room.host.take()}
                return len(room.outcomes) == len(slow)

            eventually(both_through, "both tasks are through")
            assert max(seen) == together


def test_an_idle_engine_that_is_killed_costs_no_task_anything(tmp_path):
    with engine_room(tmp_path, MODEL, resident=2) as room:
        _ran_under(room, 1, "seqs-8")
        for resident in room.host._fleet:
            os.kill(resident.pid, signal.SIGKILL)
        eventually(lambda: room.host.status().failures == 1, "the host knows it")
        _ran_under(room, 2, "seqs-8")
        assert room.host.status().starts == 2


@pytest.mark.parametrize("moment", ["while its engine starts", "while it runs"])
def test_a_task_that_is_dropped_and_comes_back_is_run(tmp_path, moment):
    """A reorganisation takes a lease away and brings it back faster than the host looks up from what it does."""
    with engine_room(tmp_path, MODEL, resident=2, fake_tokens_per_sec=40.0) as room:
        task = job(MODEL, 1, strategies=("seqs-8",))
        room.host.submit([task])
        if moment == "while it runs":
            eventually(lambda: bool(room.host.status().running), "it runs")
        else:
            eventually(lambda: bool(room.host.status().starting), "its engine starts")
        for _ in range(3):
            room.host.drop(task.task_id)
            [outcome] = room.run([again(task)])
            assert isinstance(outcome, Generated)
            room.host.submit([again(task)])


def test_what_was_finished_for_a_lost_lease_is_not_taken_for_the_result_of_its_return(tmp_path):
    """The lease is lost and back right after the engine is through, before anybody has heard of it."""
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=40.0) as room:
        host, task = room.host, job(MODEL, 1)
        returned: list[Job] = []
        drop_lost = host._drop_lost

        def lost_and_back() -> None:
            if host._ready and not returned:
                returned.append(again(task))
                host.drop(task.task_id)
                host.submit(returned)
            drop_lost()

        host._drop_lost = lost_and_back  # type: ignore[method-assign]
        [outcome] = room.run([task])
        host.saved([task.task_id])
        assert returned
        assert isinstance(outcome, Generated)
        room.run([job(MODEL, 2)])
        assert not room.outcomes, "it came once"


def test_what_an_engine_has_finished_is_handed_out_before_another_starts(tmp_path):
    with engine_room(tmp_path, MODEL, resident=2) as room:
        _ran_under(room, 1, "seqs-8")
        first, second = job(MODEL, 2, strategies=("seqs-8",)), job(MODEL, 3, strategies=("block-32",))
        fleet = room.host._fleet
        start = fleet.start

        def start_late(resident, secs):
            eventually(lambda: first.task_id in room.outcomes, "the first is handed out", secs=20.0)
            start(resident, secs)

        fleet.start = start_late  # type: ignore[method-assign]
        room.host.submit([first, second])
        [outcome] = room.wait([second.task_id])
        assert isinstance(outcome, Generated)


def test_an_engine_is_started_once_the_jobs_that_went_without_it_repay_its_start(tmp_path):
    """Nobody says how many jobs are to come; each record says what those before have gone without."""
    with engine_room(tmp_path, MODEL, resident=2, strategies=("seqs-1", "seqs-8")) as room:
        _ran_under(room, 0, "seqs-1")
        foregone: list[float] = []
        strategy, numbers = "seqs-1", itertools.count(1)
        while strategy == "seqs-1":
            [outcome] = room.run([job(MODEL, next(numbers), prompts=32)])
            assert isinstance(outcome, Generated)
            record = SelectionRecord.from_json(json.loads(outcome.run.selection))
            foregone.append(record.state.foregone_secs.get("seqs-8", 0.0))
            start_secs = {each.strategy: each.restart_secs for each in record.predictions}["seqs-8"]
            strategy = outcome.run.strategy
            assert foregone[-1] <= start_secs
            assert len(foregone) < 100, f"{foregone[-1]} s foregone, and no start of {start_secs} s"
        assert len(foregone) > 1
        assert foregone == sorted(foregone)
        [outcome] = room.run([job(MODEL, next(numbers), prompts=32)])
        assert isinstance(outcome, Generated)
        assert outcome.run.strategy == "seqs-8"
        assert room.host.status().starts == 2
