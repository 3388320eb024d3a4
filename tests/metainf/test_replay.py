"""A stream with a newcomer in the middle: what each selector sees, and what it costs it."""

import numpy as np
import pytest

from metainf.errors import BadGroup
from metainf.learner import Learned
from metainf.online import Residual
from metainf.pictures import draw_replays
from metainf.problem import Problem
from metainf.replay import (
    FROZEN,
    INFORMED,
    JOBS_AFTER,
    JOBS_BEFORE,
    ONLINE,
    SINGLE,
    _Online,
    _places,
    members,
    replay,
)
from metainf.report import replayed_rows


def odd_one_out(tasks=24, ratio=1.15):
    """Three models on three alternatives. On `c`, and only there, another alternative is best by that ratio, and no
    feature of the others tells: only running it does.
    """
    rng = np.random.default_rng(0)
    ids, names, costs, rows, models = [], [], [], [], []
    for task in range(tasks):
        model = "abc"[task % 3]
        size = float(rng.uniform(0, 2))
        for place, name in enumerate(("x", "y", "z")):
            factor = (1.0, ratio, 3.0)[place] if model != "c" else (ratio, 1.0, 3.0)[place]
            ids.append(f"{task:02d}")
            names.append(name)
            costs.append(float(np.exp(size)) * factor)
            rows.append([size, float(model == "c"), *(float(place == each) for each in range(3))])
            models.append(model)
    secs = np.array(costs)
    return Problem(
        task_ids=tuple(ids),
        alternatives=tuple(names),
        costs=secs,
        log_targets=np.log(secs)[:, None],
        rows=np.array(rows, dtype=np.float32),
        offset_log=np.zeros(len(secs)),
        groups={"model": tuple(models)},
        task_columns=(0, 1),
    )


@pytest.fixture(scope="module")
def found():
    return replay(odd_one_out(), "model", "c", rounds=2)


def test_nobody_who_knew_the_newcomer_is_fooled_and_the_frozen_one_stays_so(found):
    assert found.mean_after(INFORMED) < 0.02
    assert found.mean_after(FROZEN) == pytest.approx(np.log(1.15), abs=0.02)
    assert found.mean_after(INFORMED) < found.mean_after(ONLINE) <= found.mean_after(FROZEN)
    assert all(len(regret) == JOBS_BEFORE + JOBS_AFTER for regret in found.regret.values())


def test_before_the_newcomer_all_do_about_as_well(found):
    for name in (FROZEN, ONLINE, INFORMED, SINGLE):
        assert found.regret[name][:JOBS_BEFORE].mean() < 0.02


def test_of_two_that_look_alike_the_less_known_is_run():
    problem = odd_one_out(6, ratio=1.0)
    learned, indices = Learned().fit(problem), next(iter(problem.tasks.values()))
    online = _Online(problem, learned, learned, _places(problem))
    first = online.take(problem, indices)
    name = problem.alternatives[indices[first]]
    workload, settings = online.places[problem.task_ids[indices[0]], name]
    # It took what was expected of it, again and again.
    online._residuals += [Residual("", "a", name, "", 0.0, at, workload, settings) for at in range(9)]
    assert {name, problem.alternatives[indices[online.take(problem, indices)]]} == {"x", "y"}


def test_only_a_member_can_be_the_newcomer():
    with pytest.raises(BadGroup, match="METAINF-010"):
        replay(odd_one_out(6), "model", "d")
    with pytest.raises(BadGroup, match="choose among model"):
        members(odd_one_out(6), "hardware")


def test_it_is_told_as_a_table_and_a_picture(found, tmp_path):
    headings, rows = replayed_rows([found])
    assert len(rows[0]) == len(headings)
    assert rows[0][0] == "c"
    draw_replays([found], tmp_path / "replay.png")
    assert (tmp_path / "replay.png").stat().st_size > 5_000
