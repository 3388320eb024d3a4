"""Metrics and baselines against tables small enough to count by hand."""

from math import exp, log

import numpy as np
import pytest

from metainf.baselines import always_default, single_best, virtual_best
from metainf.errors import TableUnreadable, TooFewMeasurements
from metainf.evaluate import RANDOM_CHOICE, SBS, SELECTOR, VBS, evaluate, evaluate_table
from metainf.generic import read_problem
from metainf.problem import Fold, Problem, splits


def problem(costs: dict[str, dict[str, float]], default=None, **groups) -> Problem:
    """Costs by task and alternative; the only feature is the number of the alternative."""
    pairs = [(task, name, cost) for task, of_task in costs.items() for name, cost in of_task.items()]
    names = sorted({name for _, name, _ in pairs})
    values = np.array([cost for _, _, cost in pairs], dtype=np.float64)
    return Problem(
        task_ids=tuple(task for task, _, _ in pairs),
        alternatives=tuple(name for _, name, _ in pairs),
        costs=values,
        log_targets=np.log(values)[:, None],
        rows=np.array([[names.index(name)] for _, name, _ in pairs], dtype=np.float32),
        offset_log=np.zeros(len(pairs)),
        groups={group: tuple(of[task] for task, _, _ in pairs) for group, of in groups.items()},
        default=default,
    )


def test_single_best_is_relative_to_each_task_and_not_ruled_by_the_dear_ones():
    # `a` wins two tasks by a factor of two; `b` wins the one task that is a thousand times as dear.
    costs = {"1": {"a": 1.0, "b": 2.0}, "2": {"a": 1.0, "b": 2.0}, "3": {"a": 1500.0, "b": 1000.0}}
    everything = problem(costs)
    scores = single_best(Fold(everything, everything))
    assert dict(zip(everything.alternatives, scores < scores.mean(), strict=True)) == {"a": True, "b": False}


def test_virtual_best_takes_the_least_cost_and_default_takes_its_name():
    everything = problem({"1": {"a": 1, "b": 2}, "2": {"a": 3, "c": 4}}, default="b")
    fold = Fold(everything, everything)
    assert list(virtual_best(fold)) == [1, 2, 3, 4]
    assert list(np.isneginf(always_default(fold))) == [False, True, False, False]


def test_slowdown_and_gap_closed_are_those_of_the_definition():
    # On every fold SBS is `a` (never dearer than twice the best elsewhere), so on task 4 it pays four times the best.
    costs = {str(i): {"a": 1.0, "b": 2.0} for i in range(9)} | {"9": {"a": 4.0, "b": 1.0}}
    scores = evaluate(problem(costs)).scores["random"]
    assert scores[SBS].slowdown == pytest.approx(exp(log(4) / 10))
    assert scores[SBS].gap_closed_log == pytest.approx(0)
    assert scores[VBS].slowdown == 1
    assert scores[VBS].gap_closed_log == 1
    assert scores[RANDOM_CHOICE].slowdown == pytest.approx(exp((9 * log(2) / 2 + log(4) / 2) / 10))
    assert scores[SBS].mean_regret == pytest.approx(0.3)
    assert scores[SBS].top1_accuracy == pytest.approx(0.9)
    assert scores[SBS].slowdown_low <= scores[SBS].slowdown <= scores[SBS].slowdown_high


def test_a_failed_alternative_counts_as_the_dearest_of_its_task():
    costs = {str(i): {"a": 1.0, "b": 2.0, "c": 8.0} for i in range(9)}
    costs["9"] = {"a": float("nan"), "b": 2.0, "c": 8.0}
    assert evaluate(problem(costs)).scores["random"][SBS].slowdown == pytest.approx(exp(log(4) / 10))


def test_tasks_without_a_choice_are_left_out():
    costs = {str(i): {"a": 1.0, "b": 2.0} for i in range(5)} | {"alone": {"a": 1.0, "b": float("nan")}}
    assert evaluate(problem(costs)).scores["random"][SBS].tasks == 5
    with pytest.raises(TooFewMeasurements, match=r"METAINF-007"):
        evaluate(problem({"1": {"a": 1.0}, "2": {"a": 1.0, "b": 2.0}}))


def test_no_task_is_in_both_parts_of_a_fold_and_each_is_judged_once():
    costs = {str(i): {"a": 1.0, "b": 2.0} for i in range(11)}
    models = {str(i): f"m{i % 3}" for i in range(11)}
    whole = problem(costs, model=models)
    made = splits(whole)
    assert set(made) == {"random", "unseen_model"}
    for folds in made.values():
        judged = [task for fold in folds for task in fold.test.tasks]
        assert sorted(judged) == sorted(costs)
        assert all(not set(fold.train.tasks) & set(fold.test.tasks) for fold in folds)
    for fold in made["unseen_model"]:
        assert not set(fold.train.groups["model"]) & set(fold.test.groups["model"])


def test_the_selector_learns_what_a_feature_tells(tmp_path):
    """`quick` wins on short tasks and `steady` on long ones; no single choice does better than half of them."""
    lines = ["task_id,alternative,cost,group_model,t_length"]
    for length in range(40):
        quick, steady = (1.0, 3.0) if length < 20 else (9.0, 3.0)
        lines += [
            f"t{length},quick,{quick},m{length % 4},{length}",
            f"t{length},steady,{steady},m{length % 4},{length}",
        ]
    (tmp_path / "costs.csv").write_text("\n".join(lines))
    scores = evaluate_table(tmp_path / "costs.csv").scores
    for split in ("random", "unseen_model"):
        assert scores[split][SELECTOR].gap_closed_log > 0.8
        assert scores[split][RANDOM_CHOICE].slowdown > 1.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task_id,alternative,cost\n", "no rows"),
        ("task_id,cost\n1,2\n", "columns missing: alternative"),
        ("task_id,alternative,cost\n1,a,2\n1,b,dear\n", "line 3: cost 'dear' is no number"),
    ],
)
def test_a_generic_table_that_cannot_be_used_is_named(text, message, tmp_path):
    (tmp_path / "costs.csv").write_text(text)
    with pytest.raises(TableUnreadable, match=message):
        read_problem(tmp_path / "costs.csv")


def test_missing_and_impossible_costs_are_failures(tmp_path):
    (tmp_path / "costs.csv").write_text("task_id,alternative,cost\n1,a,2\n1,b,\n1,c,0\n1,d,-1\n1,e,inf\n")
    assert list(np.isfinite(read_problem(tmp_path / "costs.csv").costs)) == [True, False, False, False, False]


def test_a_generic_parquet_table_is_read_like_a_csv_and_nonsense_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"task_id": ["1", "1"], "alternative": ["a", "b"], "cost": [1.0, None], "t_size": [3, 3]}
    pq.write_table(pa.table(columns), tmp_path / "costs.parquet")
    found = read_problem(tmp_path / "costs.parquet")
    assert found.rows.tolist() == [[3.0, 1.0, 0.0], [3.0, 0.0, 1.0]]
    (tmp_path / "nonsense.parquet").write_text("no table")
    for path in (tmp_path / "nonsense.parquet", tmp_path / "absent.parquet", tmp_path / "absent.csv"):
        with pytest.raises(TableUnreadable, match="METAINF-006"):
            evaluate_table(path)
