"""From runs to costs, by hand-counted examples."""

from dataclasses import replace

import pytest

from metainf import Workload
from metainf.contention import slope
from metainf.costs import costs, doubt, recorded_strategy
from metainf.errors import TableUnreadable
from metainf.table import CRASHED, OK, Measurement, read_table, write_table


@pytest.fixture
def row(model, machine, strategies):
    import json

    return Measurement(
        task_id="tiny/256MiB/one",
        model_name="tiny",
        workload_name="one",
        repeat=0,
        strategy=strategies[0].name,
        strategy_digest=strategies[0].digest(),
        strategy_json=json.dumps(strategies[0].to_json()),
        model=model,
        hardware=machine,
        workload=Workload.from_token_ids([[1, 2, 3]], [4]),
        outcome=OK,
        problem="",
        cpu_secs=1.0,
        prefill_cpu_secs=0.25,
        decode_cpu_secs=0.75,
        wall_secs=2.0,
        prefill_wall_secs=0.5,
        decode_wall_secs=1.5,
        start_cpu_secs=9.0,
        start_wall_secs=12.0,
        prompt_tokens=3,
        generated_tokens=4,
        prefix_hit_tokens=0,
        preemptions=0,
        draft_tokens=0,
        accepted_tokens=0,
        outputs_sha256="00",
        load_average=0.5,
        measured_at="2026-01-01T00:00:00+00:00",
        engine="fake",
        engine_version="1",
        engine_dtype="float32",
        python_version="3.11",
        platform="Linux",
    )


def test_a_repeat_that_was_slow_for_all_moves_no_comparison(row):
    """In the second repeat the machine was ten times slower, and in the third only `b` was disturbed."""
    secs = {"a": (1.0, 10.0, 1.0), "b": (2.0, 20.0, 9.0), "c": (2.0, 20.0, 2.0)}
    rows = [
        replace(row, strategy=name, repeat=repeat, cpu_secs=value, prefill_cpu_secs=value / 4)
        for name, values in secs.items()
        for repeat, value in enumerate(values)
    ]
    measured = {cost.strategy.name: cost for cost in costs(rows)}
    assert measured["a"].total_secs == pytest.approx(1.0)
    assert measured["b"].total_secs == pytest.approx(2.0)
    assert measured["c"].total_secs == pytest.approx(2.0)
    assert measured["b"].prefill_secs == pytest.approx(0.5)
    assert measured["b"].decode_secs == pytest.approx(1.5)


def test_a_shorter_answer_makes_no_strategy_quicker(row):
    """Sampling drew four tokens under `a` and `b`, and one under `c`, which took a quarter as long to decode."""
    runs = {"a": (1.0, 4), "b": (1.0, 4), "c": (0.25 + 0.75 / 4, 1)}
    rows = [
        replace(row, strategy=name, cpu_secs=secs, wall_secs=secs, generated_tokens=tokens)
        for name, (secs, tokens) in runs.items()
    ]
    rows = [replace(one, prefill_wall_secs=0.25, decode_wall_secs=one.wall_secs - 0.25) for one in rows]
    for cost in costs(rows):
        assert cost.total_secs == pytest.approx(1.0)
        assert cost.prefill_secs == pytest.approx(0.25)


def test_a_task_that_ran_on_two_machines_is_two_tasks_and_their_speeds_do_not_mix(row):
    other = replace(row.hardware, name="other CPU")
    rows = [
        replace(row, strategy=name, hardware=hardware, cpu_secs=secs)
        for hardware, of_machine in ((row.hardware, (1.0, 2.0)), (other, (9.0, 3.0)))
        for name, secs in zip("ab", of_machine, strict=True)
    ]
    found = {(cost.task_id, cost.strategy.name): cost.total_secs for cost in costs(rows)}
    assert found == {
        ("tiny/256MiB/one on test CPU", "a"): pytest.approx(1.0),
        ("tiny/256MiB/one on test CPU", "b"): pytest.approx(2.0),
        ("tiny/256MiB/one on other CPU", "a"): pytest.approx(9.0),
        ("tiny/256MiB/one on other CPU", "b"): pytest.approx(3.0),
    }
    assert {cost.task_id for cost in costs(rows[:2])} == {"tiny/256MiB/one"}


def test_failed_runs_have_no_cost_and_are_counted(row):
    crashed = replace(row, outcome=CRASHED, problem="out of memory", cpu_secs=0.0)
    once, never = costs([row, replace(crashed, repeat=1), replace(crashed, task_id="tiny/256MiB/two")])
    assert once.total_secs == pytest.approx(1.0)
    assert once.failed_ratio == 0.5
    assert never.total_secs is None
    assert never.failed_ratio == 1.0


def test_a_table_comes_back_as_it_was_written(row, tmp_path):
    rows = (row, replace(row, repeat=1, outcome=CRASHED, problem="killed"))
    write_table(rows, tmp_path / "new" / "table.parquet")
    assert read_table(tmp_path / "new" / "table.parquet") == rows
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "table.parquet"]


def test_a_recorded_strategy_has_the_digest_it_was_measured_under(row, strategies):
    assert recorded_strategy(row) == strategies[0]
    assert recorded_strategy(row).digest() == row.strategy_digest


def test_what_is_no_table_of_measurements_is_named(row, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(TableUnreadable, match=r"METAINF-006 table .*absent"):
        read_table(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(TableUnreadable, match="no readable Parquet"):
        read_table(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(TableUnreadable, match="schema 'none'"):
        read_table(tmp_path / "other.parquet")
    write_table([row], tmp_path / "whole.parquet")
    part = pq.read_table(tmp_path / "whole.parquet").drop_columns(["cpu_secs"])
    pq.write_table(part, tmp_path / "part.parquet")
    with pytest.raises(TableUnreadable, match="columns missing: cpu_secs"):
        read_table(tmp_path / "part.parquet")


def test_strategies_of_other_turns_are_compared_through_those_that_ran_in_both(row):
    """`d` and `e` came later, with only `a` beside them, on a machine twice as slow; all but `a` are quick there."""
    first = {"a": 4.0, "b": 4.0, "c": 4.0}
    later = {"a": 8.0, "d": 2.0, "e": 1.0}
    rows = [
        replace(row, strategy=name, block=block, repeat=repeat, cpu_secs=value)
        for block, secs in (("first", first), ("later", later))
        for name, value in secs.items()
        for repeat in range(3)
    ]
    found = {cost.strategy.name: cost.total_secs or 0.0 for cost in costs(rows)}
    assert found["d"] / found["a"] == pytest.approx(1 / 4)
    assert found["e"] / found["b"] == pytest.approx(1 / 8)
    assert found["b"] == pytest.approx(found["a"])


def test_what_a_crowded_machine_added_is_taken_off(row):
    """`a` and `b` are alike; every second run had the processor for a quarter of the time only, and took longer."""
    rows = []
    for number in range(240):
        for name in ("a", "b"):
            crowded = (number + (name == "b")) % 2 * 4.0 or 1.0
            cpu_secs = crowded**0.2
            rows.append(
                replace(
                    row,
                    task_id=f"task {number // 6}",
                    repeat=number % 6,
                    strategy=name,
                    cpu_secs=cpu_secs,
                    wall_secs=cpu_secs * crowded,
                )
            )
    assert slope(rows) == pytest.approx(0.2, abs=1e-3)
    assert slope(rows[:40]) == 0.0, "a few runs tell nothing"
    for cost in costs(rows):
        assert cost.total_secs == pytest.approx(1.0, rel=0.01)


def test_doubt_is_how_far_turns_disagree_on_a_strategy_and_none_where_there_was_one(row):
    once = [replace(row, strategy=name, block="a", cpu_secs=1.0) for name in ("one", "two", "three")]
    assert doubt(once) == 0
    again = [replace(each, block="b") for each in once]
    assert doubt(once + again) == pytest.approx(0, abs=1e-6)
    again[0] = replace(again[0], cpu_secs=3.0)
    assert doubt(once + again) > 0.5
    brief = [replace(each, cpu_secs=each.cpu_secs / 1000) for each in once + again]
    assert doubt(brief) == 0


def test_a_gpu_is_judged_by_the_clock(row, machine):
    on_gpu = replace(row, hardware=replace(machine, device="cuda"))
    assert costs([on_gpu])[0].total_secs == pytest.approx(on_gpu.wall_secs)


def test_the_kind_of_work_is_the_tasks_or_else_what_its_batch_looks_like(row):
    assert costs([replace(row, family="chat")])[0].family == "chat"
    assert costs([row])[0].family == row.workload.family
