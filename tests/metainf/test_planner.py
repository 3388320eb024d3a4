"""The plan of a sweep: side by side, most telling first, within its time, again where in doubt, never lost."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from metainf import costs, planner
from metainf.calibration import calibration_secs
from metainf.errors import RaceTooNarrow, ShapeUnknown
from metainf.measure import Session, Setting, Task
from metainf.planner import Sweep, run_sweep
from metainf.spread import farthest_first
from metainf.sweeps import cpu_sweep
from metainf.table import CRASHED, OK, read_table, write_table
from metainf.workloads import Shape
from tests.checkout import ROOT

SHAPES = (
    Shape("short", 2, 8, 0, 2),
    Shape("shorter", 2, 7, 0, 2),
    Shape("long", 2, 96, 0, 2),
    Shape("many", 12, 8, 4, 2, temperature=1.0),
)


def tasks(shapes=SHAPES):
    return tuple(Task(shape.name, partial(shape.draw, vocab=512), "chat") for shape in shapes)


@pytest.fixture
def sweep(tiny_model_dir, machine, strategies):
    setting = Setting("tiny", tiny_model_dir, machine, tasks())
    return Sweep((setting,), strategies[:3], repeats=2, resident=3, engine_kind="fake")


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    """The machine that runs the tests may be as busy as it likes."""
    monkeypatch.setattr(planner, "calibration_secs", lambda: 0.01)


@pytest.fixture
def table(tmp_path):
    return tmp_path / "t.parquet"


def slowed(strategy, tokens_per_sec):
    return replace(
        strategy,
        engine_args={**strategy.engine_args, "fake_tokens_per_sec": tokens_per_sec},
        name=f"{strategy.name}-slow",
    )


def _engine_args(row):
    return json.loads(row.strategy_json)["engine_args"]


def test_strategies_take_turns_on_one_batch_between_two_calibrations(sweep, table):
    run_sweep(sweep, table)
    blocks: dict[str, list[Any]] = {}
    for row in read_table(table):
        blocks.setdefault(row.block, []).append(row)
    assert len(blocks) == 4 * 2
    for rows in blocks.values():
        assert {row.strategy for row in rows} == {strategy.name for strategy in sweep.strategies}
        assert len({(row.task_id, row.repeat, row.outputs_sha256) for row in rows}) == 1
        assert len({(row.calibration_before_secs, row.calibration_after_secs) for row in rows}) == 1
        assert rows[0].calibration_before_secs == rows[0].calibration_after_secs == 0.01
    firsts = [rows[0].strategy for rows in blocks.values()]
    assert len(set(firsts)) == 3, "the same strategy always begins"


def test_the_first_pass_goes_from_the_most_different_task_to_the_next(sweep, table):
    run_sweep(replace(sweep, repeats=1), table)
    order = list(dict.fromkeys(row.workload_name for row in read_table(table)))
    assert order.index("many") < 3
    assert order.index("long") < 3
    assert {"short", "shorter"} & set(order[-1:])


def test_farthest_first_begins_in_the_middle_and_ends_with_what_is_nearly_there():
    batches = [Shape("s", 1, length, 0, 1).draw(0, 512) for length in (10, 11, 100, 1000)]
    from metainf import Workload

    workloads = [Workload.from_token_ids(batch.prompts, batch.max_tokens) for batch in batches]
    order = farthest_first(["10", "11", "100", "1000"], workloads)
    assert order[0] == "100"
    assert order[3] in ("10", "11")
    assert order == farthest_first(["10", "11", "100", "1000"], workloads)
    assert farthest_first([], []) == []


def test_a_calibration_takes_no_time_to_speak_of():
    assert 0 < calibration_secs() < 2


def test_each_engine_is_started_once_for_all_tasks_and_repeats(sweep, table, monkeypatch):
    started = []
    from engine.child import ChildEngine

    start = ChildEngine.start

    def counted(self, timeout_secs):
        started.append(self)
        return start(self, timeout_secs)

    monkeypatch.setattr(ChildEngine, "start", counted)
    run_sweep(sweep, table)
    assert len(started) == 3


def test_fewer_engines_at_once_are_compared_through_the_first_strategy(sweep, table):
    run_sweep(replace(sweep, resident=2, repeats=1), table)
    pairs: dict[str, set[str]] = {}
    for row in read_table(table):
        pairs.setdefault(row.block, set()).add(row.strategy)
    first, second, third = (strategy.name for strategy in sweep.strategies)
    assert sorted(map(sorted, pairs.values())) == sorted(
        [sorted({first, second}), sorted({first, third})] * 4
    )


def test_what_was_measured_on_another_machine_is_kept_and_measured_here_too(sweep, table):
    run_sweep(replace(sweep, repeats=1), table)
    elsewhere = [
        replace(row, hardware=replace(row.hardware, name="another machine")) for row in read_table(table)
    ]
    write_table(elsewhere, table)
    assert run_sweep(replace(sweep, repeats=1), table) == len(elsewhere)
    assert read_table(table)[: len(elsewhere)] == tuple(elsewhere)
    assert run_sweep(replace(sweep, repeats=1), table) == 0


def test_only_what_may_be_the_best_goes_on_in_a_race(sweep, strategies, table, monkeypatch):
    """Two are as good as each other, the third a hundred times as slow: after one run of each, the two go on."""
    monkeypatch.setattr(costs, "seconds", lambda row: 1 / _engine_args(row)["fake_tokens_per_sec"])
    field = (slowed(strategies[0], 3000.0), slowed(strategies[1], 30.0), slowed(strategies[2], 3000.0))
    race = replace(sweep, strategies=field, repeats=1, race=4, least_secs=100.0)
    run_sweep(race, table)
    runs = Counter((row.workload_name, row.strategy) for row in read_table(table))
    quick, slow, other = (strategy.name for strategy in field)
    assert runs == {
        (shape.name, name): 1 if name == slow else 4 for shape in SHAPES for name in (quick, slow, other)
    }
    assert all(row.repeat == 0 or row.repeat >= 10_000 for row in read_table(table)), "a final's numbers"
    assert run_sweep(race, table) == 0


def test_a_race_in_which_not_all_are_up_together_is_refused(sweep, tmp_path, machine):
    with pytest.raises(
        RaceTooNarrow, match=r"METAINF-027 resident 2: .* all 3 strategies .* --resident 3, or no"
    ):
        replace(sweep, resident=2, race=9)
    with pytest.raises(RaceTooNarrow):
        cpu_sweep(None, tmp_path, machine, "0.32.0", resident=4, race=9)


def test_a_leader_that_was_lucky_once_is_caught_up_with_in_a_race(sweep, strategies, table, monkeypatch):
    """What is a third slower in the first run of each task, and a third quicker in all others, comes back."""
    first, second = slowed(strategies[0], 3000.0), slowed(strategies[1], 3000.0)
    of = {
        (first.name, True): 1.0,
        (first.name, False): 1.2,
        (second.name, True): 1.2,
        (second.name, False): 1.0,
    }
    monkeypatch.setattr(costs, "seconds", lambda row: of[row.strategy, row.repeat == 0])
    run_sweep(replace(sweep, strategies=(first, second), repeats=1, race=9), table)
    best: dict[str, tuple[float, str]] = {}
    for cost in costs.costs(read_table(table)):
        assert cost.total_secs is not None
        best[cost.task_id] = min(best.get(cost.task_id, (9.9, "")), (cost.total_secs, cost.strategy.name))
    assert {name for _, name in best.values()} == {second.name}


def test_a_stall_in_its_only_run_takes_no_strategy_out_of_a_race(sweep, strategies, table, monkeypatch):
    """The quickest took twice as long in the first run of each task, which is what the third always takes."""
    field = [slowed(each, 3000.0) for each in strategies[:3]]
    usual = dict(zip((each.name for each in field), (1.0, 1.2, 2.0), strict=True))
    stalled = field[0].name
    monkeypatch.setattr(
        costs,
        "seconds",
        lambda row: 2.0 if (row.strategy, row.repeat) == (stalled, 0) else usual[row.strategy],
    )
    run_sweep(replace(sweep, strategies=tuple(field), repeats=1, race=5), table)
    runs = Counter(row.strategy for row in read_table(table))
    assert runs == dict(zip(usual, (5 * len(SHAPES), 5 * len(SHAPES), 2 * len(SHAPES)), strict=True))


def test_a_race_ends_though_one_that_may_be_the_best_fails_again_and_again(
    sweep, strategies, table, monkeypatch
):
    """After its first run, which was as good as the other's."""
    monkeypatch.setattr(costs, "seconds", lambda row: 1.0)
    measure = Session.measure

    def failing(self, task, turn):
        row = measure(self, task, turn)
        failed = turn.repeat > 0 and row.strategy == strategies[1].name
        return replace(row, outcome=CRASHED) if failed else row

    monkeypatch.setattr(Session, "measure", failing)
    run_sweep(replace(sweep, strategies=strategies[:2], repeats=1, race=3), table)
    runs = Counter((row.strategy, row.outcome) for row in read_table(table))
    first, second = (strategy.name for strategy in strategies[:2])
    tasks_run = len(SHAPES)
    assert runs == {(first, OK): 3 * tasks_run, (second, OK): tasks_run, (second, CRASHED): 2 * tasks_run}


def test_strategies_that_may_be_the_best_meet_in_a_final(sweep, strategies, table, monkeypatch):
    """The first two are as good as each other and in two groups; the others are a hundred times as slow."""
    # What a run takes is what its engine was told, however busy the machine is.
    monkeypatch.setattr(costs, "seconds", lambda row: 1 / _engine_args(row)["fake_tokens_per_sec"])
    anchor, *good = (slowed(strategy, 3000.0) for strategy in strategies[:3])
    field = (slowed(strategies[3], 40.0), anchor, slowed(strategies[4], 40.0), *good)
    final = replace(sweep, strategies=field, resident=4, repeats=1, final=True)
    run_sweep(final, table)
    last: dict[str, set[str]] = {}
    for row in read_table(table):
        if row.repeat >= 100:
            last.setdefault(row.block, set()).add(row.strategy)
    best = {strategy.name for strategy in (anchor, *good)}
    assert list(last.values()) == [{field[0].name, *best}] * 4
    assert run_sweep(final, table) == 0


def test_an_engine_with_the_machine_for_itself_is_compared_over_the_whole_sweep(sweep, table):
    run_sweep(replace(sweep, resident=1), table)
    rows = read_table(table)
    assert len(rows) == 4 * 3 * 2
    assert {row.block for row in rows} == {""}
    assert [row.strategy for row in rows] == sorted(
        (row.strategy for row in rows), key=[s.name for s in sweep.strategies].index
    )


@pytest.fixture
def ticking(monkeypatch):
    """A clock that is a second on whenever the planner looks at it: once for each strategy of a block."""
    ticks = itertools.count()
    monkeypatch.setattr(planner, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.usefixtures("ticking")
def test_a_sweep_keeps_to_its_time_and_the_next_one_goes_on(sweep, table):
    once = replace(sweep, repeats=1)
    assert run_sweep(once, table, budget_secs=8) == 2 * 3
    assert run_sweep(once, table) == 2 * 3
    assert len(read_table(table)) == 12


@pytest.mark.usefixtures("ticking")
def test_time_is_shared_over_the_models_still_to_come(sweep, table):
    twice = replace(
        sweep,
        settings=(sweep.settings[0], replace(sweep.settings[0], model_name="tiny-too")),
        repeats=1,
    )
    run_sweep(twice, table, budget_secs=15)
    assert Counter(row.model_name for row in read_table(table)) == {"tiny": 2 * 3, "tiny-too": 3}


def test_a_block_on_a_machine_that_was_slow_is_run_once_more_and_no_more(sweep, table, monkeypatch):
    times = iter([0.01] * 4 + [0.05] + [0.01] * 1000)
    monkeypatch.setattr(planner, "calibration_secs", lambda: next(times))
    run_sweep(sweep, table)
    again = [row for row in read_table(table) if row.repeat >= sweep.repeats]
    disturbed = {row.task_id for row in read_table(table) if row.calibration_before_secs == 0.05}
    assert len(disturbed) == 1
    assert {row.task_id for row in again} == disturbed
    assert len(again) == 3
    assert run_sweep(sweep, table) == 0


def test_what_was_measured_before_a_kill_is_kept_and_not_measured_again(table, tmp_path, tiny_model_dir):
    """A killed sweep has every finished block on disk; the next one adds the rest."""
    program = f"""
from functools import partial
from pathlib import Path
from tests.metainf.makers import MACHINE, STRATEGIES
from tests.metainf.test_planner import slowed, tasks
from metainf.measure import Setting
from metainf import costs, planner
from metainf.planner import Sweep, run_sweep
planner.calibration_secs = lambda: 0.01
setting = Setting("tiny", Path({str(tiny_model_dir)!r}), MACHINE, tasks())
strategies = tuple(slowed(strategy, 8) for strategy in STRATEGIES[:3])
sweep = Sweep((setting,), strategies, repeats=1, resident=3, engine_kind="fake")
print(run_sweep(sweep, Path({str(table)!r})), flush=True)
"""
    running = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (table.exists() and len(read_table(table)) >= 3):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.1)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    kept = read_table(table)
    assert len(kept) % 3 == 0
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) == 12 - len(kept)
    assert read_table(table)[: len(kept)] == kept
    assert {row.outcome for row in read_table(table)} == {OK}


def test_a_sweep_of_named_shapes_leaves_the_others_out(tmp_path, machine):
    def measured(*shapes):
        return [
            each.model_name for each in cpu_sweep(None, tmp_path, machine, "0.32.0", shapes=shapes).settings
        ]

    assert set(measured("llama-7m", "llama-14m-deep")) == {"llama-7m", "llama-14m-deep"}
    assert set(measured("llama-32m")) == {"llama-32m"}
    assert len(set(measured())) == 4
    with pytest.raises(ShapeUnknown, match="llama-9t"):
        measured("llama-9t")
