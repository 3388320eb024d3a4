"""A choice in plain words and as a table, for a person who asks why."""

from math import expm1

from metainf.choice import Choice, Prediction, SelectionState
from metainf.facts import Workload
from metainf.roofline import Roofline
from metainf.rule import expected_secs
from metainf.settings import Settings

_SHOWN = 8
HEADINGS = (
    "",
    "STRATEGY",
    "EXPECTED TOTAL",
    "VS TAKEN",
    "FIRST TOKEN AFTER",
    "RUN, 90 % SURE",
    "ENGINE START",
    "FAILURE CHANCE",
)
LEGEND = (
    "* taken. Expected total: the run with its share of an engine start and of a failure. VS taken: that against the "
    "strategy taken. Run, 90 % sure: the run alone takes at most this long in nine of ten cases. Engine start: up = it "
    "runs already; - S = less what the jobs so far would have saved under it; / N = shared by N waiting jobs."
)


def explain(choice: Choice) -> str:
    """The reason and its code, what the work is like and what strategies change of it; the table is `rows`."""
    record = choice.record
    lines = [
        f"{choice.strategy.name}: {choice.reason} ({choice.reason_code}).",
        _describe(record.workload),
        _scheduled(choice),
    ]
    if record.state.corrections_log:
        common = record.state.corrections_log.get("", 0.0)
        lines.append(
            f"Jobs run here have moved every prediction by {_share(common)}, some strategies' by more or less."
        )
    if record.state.exploration.share_ppm:
        lines.append(f"The lot let this strategy be taken with a probability of {record.propensity:.1%}.")
    dropped = len(record.candidates) - len(choice.predictions)
    if dropped:
        lines.append(f"{dropped} of {len(record.candidates)} candidates cannot run this here.")
    return "\n".join(lines)


def rows(choice: Choice, shown: int = _SHOWN) -> list[tuple[str, ...]]:
    """The best candidates with their arithmetic, under `HEADINGS`: what each would have cost, the one taken marked.

    `EXPECTED TOTAL` is the expected run with its share of a start and of a failure.
    """
    state = choice.record.state
    ranked = sorted(choice.predictions, key=lambda each: (expected_secs(each, state), each.strategy))
    taken = next(each for each in ranked if each.strategy == choice.strategy.name)
    best = ranked[:shown]
    if taken not in best:
        best = [*best[:-1], taken]
    least = expected_secs(taken, state)
    return [_row(each, state, least, taken=each is taken) for each in best]


def _row(each: Prediction, state: SelectionState, of_taken: float, *, taken: bool) -> tuple[str, ...]:
    secs = expected_secs(each, state)
    return (
        "*" if taken else "",
        each.strategy,
        f"{secs:.3g} s",
        "" if taken else f"{secs / of_taken - 1:+.0%}",
        f"{each.prefill_secs:.2g} s",
        f"{each.bound_secs:.3g} s",
        _start(each, state),
        f"{each.p_failure:.0%}" if each.p_failure >= 0.05 else "",
    )


def _start(each: Prediction, state: SelectionState) -> str:
    if each.restart_secs == 0:
        return "up"
    foregone = state.foregone_secs.get(each.strategy, 0.0)
    start = f"{each.restart_secs:.3g} s" + (f" - {foregone:.3g} s" if foregone else "")
    if not state.queued_jobs:
        return start
    return f"({start}) / {state.queued_jobs + 1}" if foregone else f"{start} / {state.queued_jobs + 1}"


def _describe(workload: Workload) -> str:
    prompts = "one prompt" if workload.prompts == 1 else f"{workload.prompts} prompts"
    shared = f", {workload.shared_prefix_ratio:.0%} of it shared prefix" if workload.prompts > 1 else ""
    return (
        f"The work: {prompts}, {workload.prompt_tokens} tokens to read{shared}, "
        f"at most {workload.output_tokens} to write."
    )


def _scheduled(choice: Choice) -> str:
    """How the strategy taken would go through it."""
    record = choice.record
    course = Roofline(record.model, record.hardware, record.workload).plan(Settings.of(choice.strategy))
    return (
        f"Under it: {course.batch} at a time, {course.prefill_tokens} tokens read in {_steps(course.prefill_steps)}, "
        f"then at most {_steps(course.decode_steps)} of writing."
    )


def _steps(count: int) -> str:
    return "one step" if count == 1 else f"{count} steps"


def _share(log_secs: float) -> str:
    return f"{expm1(log_secs):+.0%}"
