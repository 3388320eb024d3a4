"""The shipped table and the shipped meta-model: what they hold, and that the one makes the other."""

from collections import defaultdict

import pytest

from metainf.costs import costs, recorded_strategy
from metainf.errors import TooFewMeasurements
from metainf.feasible import obstacle
from metainf.model import SHIPPED, SHIPPED_TABLE, MetaModel
from metainf.settings import Settings
from metainf.table import OK, START_FAILED, read_table, write_table
from metainf.traces import FAMILIES
from metainf.train import train


@pytest.fixture(scope="module")
def rows():
    return read_table(SHIPPED_TABLE)


def test_the_table_covers_eighty_tasks_twelve_strategies_and_four_models(rows):
    good = [row for row in rows if row.outcome == OK]
    per_task = defaultdict(set)
    for row in good:
        per_task[row.task_id].add(row.strategy)
    assert sum(len(strategies) >= 12 for strategies in per_task.values()) >= 80
    assert len({row.model_name for row in good}) >= 4
    assert len({row.model.parameters for row in good}) >= 4
    assert {row.family for row in good} >= {*FAMILIES}


def test_every_row_says_where_it_comes_from(rows):
    assert {row.engine for row in rows} == {"vllm"}
    for row in rows:
        assert recorded_strategy(row).digest() == row.strategy_digest
        assert row.measured_at
        assert row.hardware.name
        if row.outcome == OK:
            assert row.engine_version
            assert row.engine_dtype == row.model.dtype
            assert row.cpu_secs > 0
            assert row.start_cpu_secs > 0
            assert row.generated_tokens > 0
        else:
            assert row.problem


def test_the_memory_model_foresaw_every_start_that_was_refused_and_no_other(rows):
    assert any(row.outcome == START_FAILED for row in rows)
    for row in rows:
        foreseen = obstacle(row.model, row.hardware, row.workload, Settings.of(recorded_strategy(row)))
        assert (foreseen is not None) == (row.outcome == START_FAILED), row.task_id


def test_strategies_called_exact_gave_the_defaults_greedy_tokens(rows):
    outputs: dict[tuple[str, str, int], dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row.outcome == OK and row.workload.greedy == row.workload.prompts:
            # Within a block: in a race not all strategies run, and the demo model was trained anew in between.
            outputs[row.task_id, row.block, row.repeat][row.strategy] = row.outputs_sha256
    beside_the_default = [found for found in outputs.values() if "vllm-default" in found]
    assert len(beside_the_default) >= 100
    different = {
        strategy
        for of_strategy in beside_the_default
        for strategy, digest in of_strategy.items()
        if digest != of_strategy["vllm-default"]
    }
    exact = {row.strategy for row in rows if recorded_strategy(row).exact}
    assert not different & exact


def test_the_meta_model_is_made_from_the_table_again_bit_for_bit():
    assert train(SHIPPED_TABLE).to_bytes() == SHIPPED.read_bytes()


def test_the_meta_model_names_the_table_it_was_made_from(rows):
    provenance = MetaModel.load().provenance
    assert provenance["runs"] == len(rows)
    assert provenance["models"] == sorted({row.model_name for row in rows if row.outcome == OK})


def test_predictions_are_near_what_was_measured(rows):
    """On its own training tasks the model is within a quarter of the truth for nearly all pairs."""
    from metainf import SelectionState, Selector

    selector = Selector.load()
    off = []
    by_task = defaultdict(list)
    for cost in costs(rows):
        if cost.total_secs is not None:
            by_task[cost.task_id].append(cost)
    for of_task in by_task.values():
        first = of_task[0]
        strategies = [cost.strategy for cost in of_task]
        choice = selector.select(first.model, first.hardware, first.workload, SelectionState(), strategies)
        predicted = {prediction.strategy: prediction.total_secs for prediction in choice.predictions}
        off += [abs(predicted[c.strategy.name] / c.total_secs - 1) for c in of_task if c.total_secs]
    assert sorted(off)[int(len(off) * 0.9)] < 0.25


def test_too_few_tasks_are_refused(rows, tmp_path):
    tasks = sorted({row.task_id for row in rows})[:5]
    write_table([row for row in rows if row.task_id in tasks], tmp_path / "few.parquet")
    with pytest.raises(TooFewMeasurements, match="METAINF-007"):
        train(tmp_path / "few.parquet")
