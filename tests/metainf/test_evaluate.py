"""Metrics and baselines against tables small enough to count by hand."""

import sys
from collections.abc import Callable
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from metainf.baselines.fixed import AlwaysDefault, RandomChoice, SingleBest, VirtualBest
from metainf.bounds import Promises
from metainf.ensemble import Ensemble
from metainf.errors import ResearchExtraMissing, TableUnreadable, TooFewMeasurements
from metainf.evaluate import (
    DEFAULT,
    GIVEN,
    RANDOM_CHOICE,
    SBS,
    SELECTOR,
    VBS,
    evaluate_folds,
    evaluate_table,
)
from metainf.generic import read_problem
from metainf.learner import Calibration
from metainf.method import Method
from metainf.problem import Problem, splits
from metainf.report import to_markdown, write_choices

# The framing methods; they learn in no time, and SBS stands in for a selector where none is needed.
FRAME: dict[str, Callable[[], Method]] = {
    SELECTOR: SingleBest,
    SBS: SingleBest,
    VBS: VirtualBest,
    RANDOM_CHOICE: RandomChoice,
}


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
    scores = SingleBest().fit(everything).predict(everything)
    assert dict(zip(everything.alternatives, scores < scores.mean(), strict=True)) == {"a": True, "b": False}


def test_virtual_best_takes_the_least_cost_and_default_takes_its_name():
    everything = problem({"1": {"a": 1, "b": 2}, "2": {"a": 3, "c": 4}}, default="b")
    assert list(VirtualBest().fit(everything).predict(everything)) == [1, 2, 3, 4]
    assert list(np.isneginf(AlwaysDefault().fit(everything).predict(everything))) == [
        False,
        True,
        False,
        False,
    ]


def framed(whole: Problem, **more):
    return evaluate_folds(splits(whole.contested()), FRAME | more)


def test_slowdown_and_gap_closed_are_those_of_the_definition():
    # On every fold SBS is `a` (never dearer than twice the best elsewhere), so on task 4 it pays four times the best.
    costs = {str(i): {"a": 1.0, "b": 2.0} for i in range(9)} | {"9": {"a": 4.0, "b": 1.0}}
    scores = framed(problem(costs)).scores["random"]
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
    assert framed(problem(costs)).scores["random"][SBS].slowdown == pytest.approx(exp(log(4) / 10))


def test_tasks_without_a_choice_are_left_out(tmp_path):
    costs = {str(i): {"a": 1.0, "b": 2.0} for i in range(5)} | {"alone": {"a": 1.0, "b": float("nan")}}
    assert framed(problem(costs)).scores["random"][SBS].tasks == 5
    (tmp_path / "few.csv").write_text("task_id,alternative,cost\n1,a,1\n2,a,1\n2,b,2\n")
    with pytest.raises(TooFewMeasurements, match=r"METAINF-007"):
        evaluate_table(tmp_path / "few.csv")


def test_a_table_in_which_all_cost_the_same_is_judged(tmp_path):
    rows = [f"{task},{name},1,{task}" for task in range(6) for name in "ab"]
    (tmp_path / "flat.csv").write_text("\n".join(["task_id,alternative,cost,t_size", *rows]))
    scores = evaluate_table(tmp_path / "flat.csv").scores["random"]
    assert {score.slowdown for score in scores.values()} == {1.0}


def test_without_the_research_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        ResearchExtraMissing, match="METAINF-009 package 'scikit-learn': install quern's extra"
    ):
        evaluate_table(tmp_path / "any.csv")


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


def test_tasks_of_one_work_share_a_fold_and_are_left_out_by_machine():
    numbers = [str(i) for i in range(40)]
    whole = problem(
        {i: {"a": 1.0, "b": 2.0} for i in numbers}, hardware={i: "xy"[int(i) % 2] for i in numbers}
    )
    made = splits(replace(whole, works=tuple(str(int(task) // 2) for task in whole.task_ids)))
    assert made.keys() == {"random", "unseen_hardware"}
    for fold in made["random"]:
        assert not {*fold.train.works} & {*fold.test.works}
        assert len(fold.test.tasks) == 8


def test_acceleration_is_over_the_default_and_f1_over_all_that_win_or_are_taken():
    costs = {str(i): {"a": 1.0, "b": 2.0, "c": 4.0} for i in range(10)}
    scores = framed(problem(costs, default="b"), **{DEFAULT: AlwaysDefault}).scores["random"]
    assert scores[SBS].acceleration == pytest.approx(2.0)
    assert scores[DEFAULT].acceleration == pytest.approx(1.0)
    assert scores[SBS].f1 == 1.0
    assert scores[DEFAULT].f1 == 0.0
    assert scores[DEFAULT].over_selector == pytest.approx(2.0)
    assert scores[DEFAULT].over_selector_low == pytest.approx(2.0)


def test_intervals_of_an_unseen_group_are_drawn_over_its_members_and_not_over_tasks():
    """Two models of fifty tasks each, on one of which SBS is wrong everywhere: between them anything may be true."""
    costs = {
        f"{m}{i}": {"a": 1.0, "b": 1.5} if m == "x" else {"a": 2.0, "b": 1.0} for m in "xy" for i in range(50)
    }
    scores = framed(problem(costs, model={task: task[0] for task in costs})).scores
    assert scores["unseen_model"][SBS].slowdown_low == pytest.approx(1.5)
    assert scores["unseen_model"][SBS].slowdown_high == pytest.approx(2.0)
    wide = scores["unseen_model"][RANDOM_CHOICE]
    narrow = scores["random"][RANDOM_CHOICE]
    assert wide.slowdown_high - wide.slowdown_low > 2 * (narrow.slowdown_high - narrow.slowdown_low)


def test_no_method_but_the_oracle_sees_a_cost_it_is_judged_on():
    class Curious(SingleBest):
        def predict(self, problem):
            assert np.isnan(problem.costs).all()
            assert np.isnan(problem.log_targets).all()
            return super().predict(problem)

    costs = {str(i): {"a": 1.0, "b": 2.0} for i in range(10)}
    assert framed(problem(costs), curious=Curious).scores["random"]["curious"].slowdown == 1


def table(path, tasks, cost=True, offset=0):
    """`quick` wins on short tasks and `steady` on long ones; no single choice does better than half of them."""
    lines = ["task_id,alternative,group_model,t_length,t_kind" + (",cost" if cost else "")]
    for place in range(tasks):
        length = place * 40 // tasks
        for name, secs in (("quick", 1.0 if length < 20 else 9.0), ("steady", 3.0)):
            row = f"{offset + place},{name},m{place % 4},{length},{'ab'[place % 2]}"
            lines.append(row + (f",{secs}" if cost else ""))
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_the_selector_learns_what_a_feature_tells(tmp_path):
    judged = evaluate_table(table(tmp_path / "costs.csv", 40), default="steady")
    for split in ("random", "unseen_model"):
        scores = judged.scores[split]
        assert scores[SELECTOR].gap_closed_log > 0.8
        assert scores[RANDOM_CHOICE].slowdown > 1.5
        for name in ("random forest", "gradient boosting", "best label", "pairwise forest", "ALORS"):
            assert scores[name].gap_closed_log > 0.5, name
    assert len(judged.chosen) == 80
    assert "gap closed" in to_markdown(judged)


@pytest.mark.slow
def test_one_table_teaches_and_another_without_costs_is_predicted(tmp_path):
    train, test = table(tmp_path / "train.csv", 40), table(tmp_path / "test.csv", 8, cost=False)
    judged = evaluate_table(train, test)
    assert judged.scores == {}
    assert {(row.split, row.task_id): row.alternative for row in judged.chosen} == {
        (GIVEN, str(place)): "quick" if place < 4 else "steady" for place in range(8)
    }
    write_choices(judged.chosen, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("test,0,quick,")
    import pyarrow.parquet as pq

    write_choices(judged.chosen, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column("alternative").to_pylist()[0] == "quick"


def test_a_cost_that_was_cut_off_counts_as_at_least_its_bound(tmp_path):
    """`hasty` was stopped after two seconds on every long task, where it would have taken far longer."""
    lines = ["task_id,alternative,cost,censored,t_length"]
    for length in range(30):
        stopped = length >= 15
        lines += [
            f"{length},hasty,{2.0 if stopped else 1.0},{str(stopped).lower()},{length}",
            f"{length},calm,{4.0 if stopped else 3.0},,{length}",
            f"{length},slow,{5.0},0,{length}",
        ]
    (tmp_path / "costs.csv").write_text("\n".join(lines))
    whole = read_problem(tmp_path / "costs.csv")
    hasty = [i for i, name in enumerate(whole.alternatives) if name == "hasty"]
    assert np.isnan(whole.costs[hasty]).sum() == 15
    assert whole.judged_costs()[hasty[-1]] == 5.0
    predicted = np.exp(Ensemble().fit(whole).predict(whole.without_costs()))
    assert (predicted[hasty][15:] > 1.6).all()
    assert (predicted[hasty][:15] < 1.4).all()


def test_bounds_count_what_they_cover_and_the_budgets_they_promised(tmp_path):
    whole = read_problem(table(tmp_path / "costs.csv", 40)).contested()
    promises = evaluate_folds({"random": splits(whole)["random"]}, FRAME).promises["random"]
    assert isinstance(promises, Promises)
    assert list(promises.coverage) == sorted(promises.coverage)
    assert 0.8 <= promises.coverage_at_bound <= 1.0
    assert promises.promised_ratio > 0.5
    assert promises.missed_ratio < 0.1


def test_a_bound_for_new_members_weighs_each_alike_however_many_its_tasks():
    rng = np.random.default_rng(0)
    sure, unsure = rng.normal(0.0, 0.1, 4_000), rng.normal(0.5, 0.1, 40)
    assert np.mean(unsure <= Calibration(np.concatenate([sure, unsure])).bound_log()) < 0.1
    bound = Calibration(np.concatenate([sure, unsure]), (sure, unsure)).bound_log()
    assert (np.mean(sure <= bound) + np.mean(unsure <= bound)) / 2 == pytest.approx(0.9, abs=0.02)
    # One odd member of many does not set the bound for all.
    many = Calibration(sure, (*(rng.normal(0.0, 0.1, 100) for _ in range(30)), unsure)).bound_log()
    assert many < 0.3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task_id,alternative,cost\n", "no rows"),
        ("task_id,cost\n1,2\n", "columns missing: alternative"),
        ("task_id,alternative,cost\n1,a,2\n1,b,dear\n", "line 3: cost 'dear' is no number"),
        ("task_id,alternative,cost\n1,a,2\n1,a,3\n", "line 3: alternative 'a' of task '1' is there twice"),
        ("task_id,alternative,cost\n1,,2\n", "line 2: task_id and alternative must be given"),
        ("task_id,alternative,cost\n1,a,2,3\n", "line 2: more fields than columns"),
        ("task_id,alternative,cost,t_x\n1,a,2,1\n1,b,3,inf\n", "line 3: t_x 'inf' is too large"),
        ("task_id,alternative,cost,a_x\n1,a,2,-1e300\n", "line 2: a_x '-1e300' is too large"),
        (
            "task_id,alternative,cost,censored\n1,a,2,maybe\n",
            "line 2: censored 'maybe' is neither true nor false",
        ),
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
