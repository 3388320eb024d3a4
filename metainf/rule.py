"""The rule of the choice, on predictions: restarts weighed, limits kept, nothing changed for little, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metainf.catalogue import DEFAULT_NAME
from metainf.choice import Prediction, SelectionState
from metainf.explore import MOST_EXTRA_RATIO, MOST_OF_DEADLINE
from metainf.learner import LEAST_MARGIN, margin

# A smaller chance of failing is less than tables of this size can tell.
LEAST_FAILURE = 0.01

FASTEST = "SELECT-001"
KEPT_RUNNING = "SELECT-002"
DEFAULT_AS_GOOD = "SELECT-003"
ONLY_ONE = "SELECT-004"
NO_BOUND_FITS = "SELECT-005"
EXPLORED = "SELECT-006"
LESS_KNOWN = "SELECT-007"


def run_secs(prediction: Prediction) -> float:
    """What a job costs on an engine that is up; once more if it fails."""
    return prediction.total_secs * _attempts(prediction)


def start_secs(prediction: Prediction) -> float:
    """What it costs to bring the engine up, if it is not; once more if it fails."""
    return prediction.restart_secs * _attempts(prediction)


def start_secs_due(prediction: Prediction, state: SelectionState) -> float:
    """What is still to be repaid of a start: less by what the jobs so far would have saved under the strategy."""
    return max(0.0, start_secs(prediction) - state.foregone_secs.get(prediction.strategy, 0.0))


def expected_secs(prediction: Prediction, state: SelectionState) -> float:
    """What taking a strategy costs per job: its run, and a share of what is due of its start."""
    return run_secs(prediction) + start_secs_due(prediction, state) / (1 + state.queued_jobs)


def counted_secs(prediction: Prediction, state: SelectionState) -> float:
    """The expected seconds as they count in comparisons: of the run of what is less known, a little less."""
    optimism = state.optimism_ratio.get(prediction.strategy, 0.0)
    return expected_secs(prediction, state) - optimism * run_secs(prediction)


def _attempts(prediction: Prediction) -> float:
    return 1.0 + (prediction.p_failure if prediction.p_failure >= LEAST_FAILURE else 0.0)


def decide(
    predictions: Sequence[Prediction], state: SelectionState, spreads: Mapping[str, float]
) -> tuple[int, str, str]:
    """Index of the prediction to take, with the code and the words of the reason.

    `spreads` say by strategy how far comparisons with the default are off (log). Pure; ties go to the
    earlier.
    """
    expected = [expected_secs(prediction, state) for prediction in predictions]
    decided = _decide(predictions, expected, state, spreads)
    if not state.optimism_ratio:
        return decided
    counted = [counted_secs(prediction, state) for prediction in predictions]
    index, otherwise = _decide(predictions, counted, state, spreads)[0], decided[0]
    optimism = [state.optimism_ratio.get(predictions[each].strategy, 0.0) for each in (index, otherwise)]
    if optimism[0] <= optimism[1]:
        return decided
    taken, left = (
        f"{predictions[each].strategy} ({expected[each]:.3g} s a job)" for each in (index, otherwise)
    )
    said = f"strategies count a little less the less they are known here, and so {taken} is taken, not {left}"
    return index, LESS_KNOWN, said


def _decide(
    predictions: Sequence[Prediction],
    scores: Sequence[float],
    state: SelectionState,
    spreads: Mapping[str, float],
) -> tuple[int, str, str]:
    """`scores` are the seconds that each counts."""
    indices = range(len(predictions))
    named: Mapping[str, int] = {prediction.strategy: index for index, prediction in enumerate(predictions)}
    fitting = [index for index in indices if _fits(predictions[index], state)]
    if not fitting:
        safe = named.get(DEFAULT_NAME, min(indices, key=lambda index: predictions[index].bound_secs))
        return (
            safe,
            NO_BOUND_FITS,
            f"no 90 % bound keeps {_limits(state)}: {predictions[safe].strategy}, the safe choice, it is",
        )
    best = min(fitting, key=lambda index: scores[index])
    if len(predictions) == 1:
        return best, ONLY_ONE, f"{predictions[best].strategy} is the only strategy that can run this"

    def as_good(other: int) -> bool:
        # A start is not paid for on a guess. Where both must be started, or neither, the better guess is taken; so it
        # is where the start is repaid, for then many guesses agree.
        paid = predictions[other].restart_secs == 0 < start_secs_due(predictions[best], state)
        names = predictions[best].strategy, predictions[other].strategy
        needed = margin(spreads, *names) if paid else LEAST_MARGIN
        return other in fitting and scores[other] <= scores[best] * (1 + needed)

    running = named.get(state.running) if state.running is not None else None
    if running is not None and as_good(running):
        return running, KEPT_RUNNING, _why_kept(predictions, scores, state, best, running)
    default = named.get(DEFAULT_NAME)
    if default is not None and best != default and as_good(default):
        saved = f"{predictions[best].strategy} is expected to save {_saved(scores[best], scores[default])}"
        return default, DEFAULT_AS_GOOD, f"{saved}, too little to be sure of, and so {DEFAULT_NAME}"
    return best, FASTEST, _why_fastest(predictions, scores, state, best, default)


def _saved(best: float, other: float) -> str:
    share = 1 - best / other
    return f"{share:.0%}" if share >= 0.01 else "next to nothing"


def _why_kept(
    predictions: Sequence[Prediction],
    scores: Sequence[float],
    state: SelectionState,
    best: int,
    running: int,
) -> str:
    kept = predictions[running]
    quickest = min(predictions, key=lambda prediction: prediction.total_secs)
    if best != running:
        saved = f"{predictions[best].strategy} is expected to save {_saved(scores[best], scores[running])}"
        return f"{kept.strategy} runs already; {saved}, too little to be sure of"
    if quickest is kept:
        return f"{kept.strategy} runs already and is expected to be quickest: {kept.total_secs:.3g} s"
    jobs = "one job does" if state.queued_jobs == 0 else f"{state.queued_jobs + 1} jobs do"
    start = f"its start of {quickest.restart_secs:.3g} s"
    foregone = state.foregone_secs.get(quickest.strategy, 0.0)
    if foregone:
        start = f"what is left of {start} once the {foregone:.3g} s foregone so far are taken off"
    return (
        f"{kept.strategy} runs already: {quickest.strategy} would take {quickest.total_secs:.3g} s a job instead "
        f"of {kept.total_secs:.3g} s, but {jobs} not repay {start}"
    )


def _why_fastest(
    predictions: Sequence[Prediction],
    scores: Sequence[float],
    state: SelectionState,
    best: int,
    default: int | None,
) -> str:
    taken = predictions[best]
    said = f"{taken.strategy} is expected to be quickest: {taken.total_secs:.3g} s a job"
    if default is not None and default != best:
        said = (
            f"{taken.strategy} is expected to be quickest: {scores[best]:.3g} s a job with its share of a start, "
            f"{scores[default]:.3g} s for {DEFAULT_NAME}"
        )
    foregone = state.foregone_secs.get(taken.strategy, 0.0)
    if foregone and taken.restart_secs:
        said += (
            f"; the {foregone:.3g} s that the jobs so far have gone without count against its start of "
            f"{taken.restart_secs:.3g} s"
        )
    return said


def _fits(prediction: Prediction, state: SelectionState) -> bool:
    if state.budget_secs is not None and prediction.bound_secs > state.budget_secs:
        return False
    return (
        state.deadline_secs is None or prediction.bound_secs + prediction.restart_secs <= state.deadline_secs
    )


def _limits(state: SelectionState) -> str:
    limits = []
    if state.budget_secs is not None:
        limits.append(f"the budget of {state.budget_secs:g} s")
    if state.deadline_secs is not None:
        limits.append(f"the deadline in {state.deadline_secs:g} s")
    return " and ".join(limits)


@dataclass(frozen=True, slots=True)
class Explored:
    """What is taken after all, with the probability that the lot falls so, and why if it is not the best."""

    index: int
    propensity: float
    reason: str


def explore(predictions: Sequence[Prediction], state: SelectionState, best: int) -> Explored:
    """Now and then something else than `best`, as `metainf.explore` bounds it."""
    if not state.exploration.share_ppm:
        return Explored(best, 1.0, "")
    scores = [expected_secs(prediction, state) for prediction in predictions]
    eligible = [
        index
        for index, prediction in enumerate(predictions)
        if index != best
        and scores[index] <= scores[best] * (1 + MOST_EXTRA_RATIO)
        and _fits(prediction, state)
        and _far_from_deadline(prediction, state)
    ]
    index, propensity = state.exploration.pick(best, eligible)
    reason = (
        f"tried to learn from it: it may take {scores[index] / scores[best]:.0%} of what "
        f"{predictions[best].strategy} takes, and {state.exploration.share_ppm / 10_000:g} % of choices try something"
    )
    return Explored(index, float(f"{propensity:.6g}"), reason)


def _far_from_deadline(prediction: Prediction, state: SelectionState) -> bool:
    return (
        state.deadline_secs is None
        or prediction.bound_secs + prediction.restart_secs <= MOST_OF_DEADLINE * state.deadline_secs
    )
