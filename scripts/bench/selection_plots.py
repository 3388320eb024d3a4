"""The pictures of `scripts/bench/selector`: regret, gap by split, who wins where, calibration of the bounds."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metainf.evaluate import RANDOM_CHOICE, SBS, SELECTOR, VBS, Evaluation
from metainf.pictures import PALETTE
from metainf.problem import RANDOM, Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = (SELECTOR, "pairwise forest", "best label", "gradient boosting", "k nearest neighbours", SBS)


def draw(evaluation: Evaluation, problem: Problem, folder: Path) -> list[Path]:
    """Write the four pictures as PNG; their paths."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    pictures: Sequence[tuple[str, tuple[float, float], Callable[[Axes], None]]] = (
        ("regret", (7.0, 4.2), lambda axes: _regret(axes, evaluation)),
        ("gap", (8.0, 4.6), lambda axes: _gap(axes, evaluation)),
        ("winners", (8.0, 3.6), lambda axes: _winners(axes, problem)),
        ("calibration", (5.0, 4.6), lambda axes: _calibration(axes, evaluation)),
    )
    for name, size, paint in pictures:
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.add_subplot())
        path = folder / f"{name}.png"
        # Without the library's version in it, the same figures give the same file.
        figure.savefig(path, dpi=110, metadata={"Software": None})
        written.append(path)
    return written


def _regret(axes: "Axes", evaluation: Evaluation) -> None:
    found = evaluation.outcomes[RANDOM]
    for colour, name in zip(PALETTE, [name for name in _SHOWN if name in found], strict=False):
        slowdowns = np.sort(np.exp([outcome.log_slowdown for outcome in found[name]]))
        shares = np.arange(1, len(slowdowns) + 1) / len(slowdowns)
        axes.step(
            slowdowns, shares, where="post", label=name, color=colour, lw=2.4 if name == SELECTOR else 1.4
        )
    axes.set_xscale("log")
    ticks = (1, 1.1, 1.25, 1.5, 2, 3, 5)
    axes.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(1, 5)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("cost over the best strategy's, at most")
    axes.set_ylabel("share of tasks")
    axes.set_title("Regret, tasks drawn at random")
    axes.legend(frameon=False, loc="lower right")
    axes.grid(alpha=0.25)


def _gap(axes: "Axes", evaluation: Evaluation) -> None:
    methods = [
        name
        for name in evaluation.scores[RANDOM]
        if name not in (VBS, RANDOM_CHOICE, SBS, "always the default")
    ]
    splits = list(evaluation.scores)
    width = 0.8 / len(splits)
    for place, split in enumerate(splits):
        scores = [evaluation.scores[split][name] for name in methods]
        heights = np.array([score.gap_closed_log for score in scores])
        low = heights - np.array([score.gap_closed_log_low for score in scores])
        high = np.array([score.gap_closed_log_high for score in scores]) - heights
        at = np.arange(len(methods)) + (place - (len(splits) - 1) / 2) * width
        axes.bar(at, heights, width, color=PALETTE[place], label=split.replace("_", " "))
        axes.errorbar(
            at, heights, (np.maximum(low, 0), np.maximum(high, 0)), fmt="none", ecolor="#444", lw=0.8
        )
    axes.set_xticks(np.arange(len(methods)), methods, rotation=30, ha="right")
    axes.set_ylim(-0.6, 1.05)
    axes.axhline(0, color="#444", lw=0.8)
    axes.set_ylabel("gap closed (log): 0 is SBS, 1 the oracle")
    axes.set_title("Gap closed by split, with 95 % intervals")
    axes.legend(frameon=False, loc="lower right", ncols=len(splits), fontsize=8)


def _winners(axes: "Axes", problem: Problem) -> None:
    wins = _wins(problem)
    families, names = sorted(wins), sorted({name for of_family in wins.values() for name in of_family})
    table = np.array([[wins[family][name] / wins[family].total() for name in names] for family in families])
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, shares in enumerate(table):
        for column, share in enumerate(shares):
            if share > 0:
                axes.text(
                    column,
                    row,
                    f"{share:.0%}",
                    ha="center",
                    va="center",
                    color="white" if share > 0.5 else "black",
                )
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set_yticks(range(len(families)), [f"{family} ({wins[family].total()})" for family in families])
    axes.set_title("Which strategy is quickest, by family of workloads (tasks)")


def _wins(problem: Problem) -> Mapping[str, Counter[str]]:
    wins: dict[str, Counter[str]] = {}
    contested = problem.contested()
    for indices in contested.tasks.values():
        best = indices[int(np.nanargmin(contested.costs[indices]))]
        family, name = contested.groups["workload_family"][best], contested.alternatives[best]
        wins.setdefault(family, Counter())[name] += 1
    return wins


def _calibration(axes: "Axes", evaluation: Evaluation) -> None:
    axes.plot([0.45, 1], [0.45, 1], color="#888", lw=1, ls="--", label="as promised")
    for colour, (split, promises) in zip(PALETTE, evaluation.promises.items(), strict=False):
        axes.plot(promises.levels, promises.coverage, "o-", color=colour, label=split.replace("_", " "))
    axes.axhspan(0.88, 0.95, xmin=0.74, xmax=0.88, color="#009E73", alpha=0.15)
    ticks: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:.0%}" for tick in ticks])
    axes.set_xlabel("level of the bound")
    axes.set_ylabel("share of costs below it")
    axes.set_title("Calibration of the bounds")
    axes.legend(frameon=False, loc="lower right")
    axes.grid(alpha=0.25)
