"""A choice in plain words, for a person who asks why."""

from metainf.choice import Choice, Prediction
from metainf.facts import Workload
from metainf.select import expected_secs

_SHOWN = 5


def explain(choice: Choice) -> str:
    """A few lines: the reason and its code, what the workload is like, the best candidates with their
    arithmetic.
    """
    record = choice.record
    ranked = sorted(
        choice.predictions,
        key=lambda prediction: (expected_secs(prediction, record.state), prediction.strategy),
    )
    shown = ranked[:_SHOWN]
    chosen = next(prediction for prediction in ranked if prediction.strategy == choice.strategy.name)
    if chosen not in shown:
        shown = [*shown[:-1], chosen]
    dropped = len(record.candidates) - len(ranked)
    lines = [
        f"{choice.strategy.name}: {choice.reason} ({choice.reason_code}).",
        _describe(record.workload),
        *(
            f"  {'*' if prediction is chosen else ' '} {_describe_prediction(prediction, record.state.queued_jobs)}"
            for prediction in shown
        ),
    ]
    if len(ranked) > len(shown):
        lines.append(f"  and {len(ranked) - len(shown)} more were expected to take longer")
    if dropped:
        lines.append(f"  {dropped} cannot run this here")
    return "\n".join(lines)


def _describe(workload: Workload) -> str:
    prompts = "one prompt" if workload.prompts == 1 else f"{workload.prompts} prompts"
    shared = f", {workload.shared_prefix_ratio:.0%} of it shared prefix" if workload.prompts > 1 else ""
    return (
        f"The work: {prompts}, {workload.prompt_tokens} tokens to read{shared}, "
        f"at most {workload.output_tokens} to write."
    )


def _describe_prediction(prediction: Prediction, queued_jobs: int) -> str:
    words = (
        f"{prediction.total_secs:.3g} s (90 % within {prediction.bound_secs:.3g} s; "
        f"{prediction.prefill_secs:.2g} s to the first token)"
    )
    if prediction.restart_secs > 0:
        words += f", a start of {prediction.restart_secs:.3g} s"
        words += f" shared by {queued_jobs + 1} jobs" if queued_jobs else ""
    if prediction.p_failure >= 0.05:
        words += f", {prediction.p_failure:.0%} likely to fail"
    return f"{prediction.strategy:<18} {words}"
