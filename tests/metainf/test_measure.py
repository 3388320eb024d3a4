"""Measuring through real child processes: the fake engine for the sweep's own behaviour, vLLM for one real cell."""

from dataclasses import replace
from functools import partial

import pytest

from metainf import Workload
from metainf.measure import Setting, Task
from metainf.planner import Progress, Sweep, run_sweep
from metainf.table import CRASHED, OK, START_FAILED, read_table
from metainf.workloads import QUESTIONS, SHAPES, TIGHT_SHAPES, Shape

SMALL = (Shape("two", 2, 12, 4, 3), Shape("three", 3, 8, 0, 2, temperature=1.0))


def tasks(shapes=SMALL, vocab=512):
    return tuple(Task(shape.name, partial(shape.draw, vocab=vocab)) for shape in shapes)


@pytest.fixture
def sweep(tiny_model_dir, machine, strategies):
    setting = Setting("tiny", tiny_model_dir, machine, tasks())
    return Sweep((setting,), strategies[:2], repeats=2, engine_kind="fake")


def injected(strategy, **faults):
    options = {f"fake_{name}": value for name, value in faults.items()}
    return replace(strategy, name=f"{strategy.name}-faulty", engine_args={**strategy.engine_args, **options})


def test_a_sweep_measures_every_task_under_every_strategy_as_often_as_asked(sweep, tmp_path):
    seen: list[Progress] = []
    added = run_sweep(sweep, tmp_path / "t.parquet", seen.append)
    rows = read_table(tmp_path / "t.parquet")
    assert added == len(rows) == 2 * 2 * 2
    assert {(row.workload_name, row.strategy, row.repeat) for row in rows} == {
        (shape.name, strategy.name, repeat)
        for shape in SMALL
        for strategy in sweep.strategies
        for repeat in (0, 1)
    }
    assert {row.outcome for row in rows} == {OK}
    assert {row.engine for row in rows} == {"fake"}
    assert all(row.cpu_secs > 0 and row.wall_secs > 0 and row.start_cpu_secs > 0 for row in rows)
    assert all(row.generated_tokens > 0 and row.prompt_tokens == 24 for row in rows)
    assert [progress.done for progress in seen] == list(range(1, 9))
    assert seen[-1].total == 8


def test_a_stopped_sweep_goes_on_where_it_was(sweep, tmp_path):
    table = tmp_path / "t.parquet"

    def stop_after_three(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, table, stop_after_three)
    first = read_table(table)
    assert len(first) == 3
    assert run_sweep(sweep, table) == 5
    assert read_table(table)[:3] == first
    assert run_sweep(sweep, table) == 0


def test_strategies_of_one_task_and_repeat_get_the_same_tokens_and_other_repeats_others(sweep, tmp_path):
    run_sweep(sweep, tmp_path / "t.parquet")
    outputs: dict[tuple[str, int], set[str]] = {}
    for row in read_table(tmp_path / "t.parquet"):
        outputs.setdefault((row.task_id, row.repeat), set()).add(row.outputs_sha256)
    assert {len(digests) for digests in outputs.values()} == {1}
    assert len({digest for digests in outputs.values() for digest in digests}) == 4


def test_a_crash_is_an_outcome_and_the_sweep_goes_on_with_a_fresh_engine(sweep, strategies, tmp_path):
    faulty = injected(strategies[0], crash_after_tokens=14)
    run_sweep(replace(sweep, strategies=(faulty, strategies[1])), tmp_path / "t.parquet")
    rows = read_table(tmp_path / "t.parquet")
    assert len(rows) == 8
    crashed = [row for row in rows if row.outcome == CRASHED]
    assert crashed
    assert {row.strategy for row in crashed} == {faulty.name}
    assert all("ENGINE-006" in row.problem and row.cpu_secs == 0 for row in crashed)
    assert {row.outcome for row in rows if row.strategy == strategies[1].name} == {OK}


def test_a_refused_start_is_an_outcome_of_every_task(sweep, strategies, tmp_path):
    faulty = injected(strategies[0], start_fails=True)
    run_sweep(replace(sweep, strategies=(faulty,)), tmp_path / "t.parquet")
    rows = read_table(tmp_path / "t.parquet")
    assert [row.outcome for row in rows] == [START_FAILED] * 4
    assert all("ENGINE-005" in row.problem for row in rows)


def test_an_engine_that_dies_on_its_first_batch_counts_as_a_refused_start(sweep, strategies, tmp_path):
    faulty = injected(strategies[0], crash_after_tokens=2, tokens_per_sec=50)
    run_sweep(replace(sweep, strategies=(faulty,)), tmp_path / "t.parquet")
    rows = read_table(tmp_path / "t.parquet")
    assert [row.outcome for row in rows] == [START_FAILED] * 4
    assert all("ENGINE-006" in row.problem for row in rows)


def test_shapes_draw_what_they_say():
    for shape in (*SHAPES, *TIGHT_SHAPES):
        batch = shape.draw(0, 4096)
        assert batch == shape.draw(0, 4096)
        assert batch.prompts != shape.draw(1, 4096).prompts
        assert len(batch.prompts) == len(batch.max_tokens) == shape.prompts
        assert max(map(len, batch.prompts)) <= shape.prompt_tokens
        assert all(8 <= token < 4096 for prompt in batch.prompts for token in prompt)
        counted = Workload.from_token_ids(batch.prompts, batch.max_tokens)
        expected = shape.shared_tokens * max(shape.prompts - shape.groups, 0)
        assert expected <= counted.shared_tokens[0] <= expected + 2 * shape.prompts


def test_questions_are_the_same_for_a_seed_and_differ_between_seeds():
    def spell(question):
        return [ord(letter) for letter in question.system + question.user]

    for questions in QUESTIONS:
        assert questions.draw(3, spell) == questions.draw(3, spell)
        assert questions.draw(3, spell) != questions.draw(4, spell)


@pytest.mark.slow
def test_one_cell_is_measured_on_real_vllm(sweep, strategies, tmp_path):
    shared = Shape("shared", 6, 80, 64, 4)
    block_32 = next(strategy for strategy in strategies if strategy.name == "block-32")
    setting = replace(sweep.settings[0], tasks=tasks((shared,)))
    real = Sweep((setting,), (block_32,), repeats=1)
    run_sweep(real, tmp_path / "t.parquet")
    (row,) = read_table(tmp_path / "t.parquet")
    assert (row.outcome, row.problem) == (OK, "")
    assert (row.engine, row.engine_dtype) == ("vllm", "float32")
    assert row.generated_tokens == 24
    assert row.prefix_hit_tokens == 5 * 64 == row.workload.shared_in_blocks(32)
    assert 0 < row.cpu_secs < row.start_cpu_secs
