"""Pictures for people: why a choice was made, and what going on learning is worth. Needs the `research` extra."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metainf.choice import Choice, Prediction
from metainf.errors import ResearchExtraMissing
from metainf.replay import FROZEN, INFORMED, ONLINE, SINGLE, Replayed
from metainf.rule import expected_secs, start_secs_due

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that people who see no red or no green can tell apart (Okabe and Ito).
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
BLUE, ORANGE, GREEN, _, RED, _, BLACK = PALETTE
_SHOWN = 14


def draw_choice(choice: Choice, path: Path) -> None:
    """Every candidate's expected time, its share of a start and its bound; the one taken in colour."""
    record = choice.record
    ranked = sorted(choice.predictions, key=lambda each: (expected_secs(each, record.state), each.strategy))
    shown = ranked[:_SHOWN]
    if choice.strategy.name not in {each.strategy for each in shown}:
        shown[-1] = next(each for each in ranked if each.strategy == choice.strategy.name)
    figure = _figure(8.5, 1.9 + 0.34 * len(shown))
    axes = figure.add_subplot()
    _bars(axes, choice, shown)
    _legend(figure, record.state.queued_jobs)
    taken = next(each for each in shown if each.strategy == choice.strategy.name)
    best = expected_secs(shown[0], record.state)
    extra = expected_secs(taken, record.state) / best - 1
    title = f"{choice.strategy.name} was taken ({choice.reason_code})"
    axes.set_title(title if extra < 0.005 else f"{title}, {extra:.0%} above the least expected", loc="left")
    figure.supxlabel(_wrapped(choice.reason), fontsize=9, x=0.01, ha="left")
    _save(figure, path)


def _bars(axes: "Axes", choice: Choice, shown: Sequence[Prediction]) -> None:
    state = choice.record.state
    rows = np.arange(len(shown))[::-1]
    for row, each in zip(rows, shown, strict=True):
        taken = each.strategy == choice.strategy.name
        share = start_secs_due(each, state) / (1 + state.queued_jobs)
        colour = BLUE if taken else "#9DB7C9"
        first, rest = each.prefill_secs, max(each.total_secs - each.prefill_secs, 0)
        axes.barh(row, first, color=colour, height=0.62, alpha=0.65)
        axes.barh(row, rest, left=first, color=colour, height=0.62)
        axes.barh(row, share, left=each.total_secs, color=ORANGE, height=0.62, alpha=0.9 if taken else 0.55)
        axes.plot([each.bound_secs] * 2, [row - 0.31, row + 0.31], color=BLACK, lw=1.4)
        end = max(each.total_secs + share, each.bound_secs)
        axes.annotate(
            f"{expected_secs(each, state):.3g} s", (end, row), (4, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(rows, [each.strategy for each in shown])
    for label, each in zip(axes.get_yticklabels(), shown, strict=True):
        label.set_fontweight("bold" if each.strategy == choice.strategy.name else "normal")
    for name, secs in (("budget", state.budget_secs), ("deadline", state.deadline_secs)):
        if secs is not None and secs <= 1.3 * axes.get_xlim()[1]:
            axes.axvline(secs, color=RED, ls="--", lw=1.2)
            axes.annotate(name, (secs, len(shown) - 0.4), color=RED, fontsize=8, ha="center")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.12)
    axes.set_xlabel("seconds a job")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def _legend(figure: "Figure", queued_jobs: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shared = f", shared by {queued_jobs + 1} jobs" if queued_jobs else ""
    figure.legend(
        handles=[
            Patch(color=BLUE, alpha=0.65, label="to the first token"),
            Patch(color=BLUE, label="the rest"),
            Patch(color=ORANGE, label=f"starting the engine{shared}"),
            Line2D([], [], color=BLACK, lw=1.4, label="90 % bound without a start"),
        ],
        frameon=False,
        fontsize=8,
        loc="outside lower center",
        ncols=4,
    )


def draw_replays(found: Sequence[Replayed], path: Path) -> None:
    """Cumulative regret along the stream, one picture beside the other."""
    figure = _figure(4.6 * len(found), 3.8)
    for place, each in enumerate(found, start=1):
        axes = figure.add_subplot(1, len(found), place)
        _curves(axes, each)
        if place == 1:
            axes.set_ylabel("cumulative regret, log(cost / best)")
            axes.legend(frameon=False, loc="upper left", fontsize=8)
    _save(figure, path)


def _curves(axes: "Axes", found: Replayed) -> None:
    styles = {SINGLE: (BLACK, ":"), FROZEN: (ORANGE, "--"), ONLINE: (BLUE, "-"), INFORMED: (GREEN, "-.")}
    top = 0.0
    for name, (colour, line) in styles.items():
        total = np.cumsum(found.regret[name])
        axes.plot(np.arange(1, len(total) + 1), total, color=colour, ls=line, lw=1.8, label=name)
        if name != SINGLE:
            top = max(top, float(total[-1]))
    axes.set_ylim(0, 2.2 * top + 0.05)
    axes.axvline(found.arrives, color="#888", lw=1)
    axes.annotate(
        f"{found.newcomer} arrives", (found.arrives, 2.2 * top), (4, -4), textcoords="offset points",
        va="top", fontsize=8, color="#555",
    )  # fmt: skip
    axes.set_xlabel("jobs")
    axes.set_title(f"{found.newcomer}: online / informed {found.ratio:.2f}", fontsize=10)
    axes.grid(alpha=0.25)


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ResearchExtraMissing("matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def _wrapped(text: str) -> str:
    from textwrap import fill

    return fill(text[:1].upper() + text[1:], 110)


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the library's version in it, the same figures give the same file.
    stamps = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, dpi=110, metadata=stamps)
