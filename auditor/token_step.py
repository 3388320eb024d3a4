"""Step 7: the output tokens come from these weights and this sampler, checked with one prefill per prompt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from auditor.case import Case
from auditor.findings import Finding, Lacking, Refuted, counted
from engine.base import Engine, EngineConfig, EngineError, TokenCheck
from engine.child import ChildEngine
from engine.tokenizer import Tokenizer
from protocol.batchfile import OutputEntry, Prompt
from protocol.errors import Unavailable
from protocol.params import GenerationParams

CheckerKind = Literal["vllm", "transformers"]

# How far below the likeliest token, in natural-log probability, a greedy token may lie. Between two fp32 engines the
# gap is rounding only; in half precision two near-equal logits may swap. `docs/auditor.md` says how they were chosen.
MARGIN_BY_DTYPE = {"float32": 1e-2}
WIDEST_MARGIN = 0.5
_START_TIMEOUT_SECS = 300.0


class CheckerUnavailable(Unavailable):
    """The engine of the token check did not come up, or died."""

    def __init__(self, kind: str, error: EngineError) -> None:
        super().__init__("AUDIT-002", "engine", kind, f"{error}; choose another with --engine, or none")


@contextmanager
def checker(kind: CheckerKind, model_dir: Path) -> Iterator[Engine]:
    """An engine with the auditor's copy of the model, in a child process. Raises CheckerUnavailable."""
    arguments = {"enforce_eager": True, "gpu_memory_utilization": 0.5} if kind == "vllm" else {}
    engine = ChildEngine(kind, EngineConfig(model_dir, arguments))
    try:
        engine.start(_START_TIMEOUT_SECS)
        yield engine
    except EngineError as error:
        raise CheckerUnavailable(kind, error) from error
    finally:
        engine.stop()


def check_tokens(case: Case, engine: Engine) -> Finding:
    """Step 7, for greedy outputs: each token within a margin of the likeliest, each end where it had to be."""
    params, entries = case.params, case.output.entries
    _comparable(params)
    tokenizer = case.tokenizer
    margin = margin_for(case)
    asked = []
    for prompt, ids, entry in zip(case.input.prompts, case.prompt_token_ids, entries, strict=True):
        if entry.error is not None:
            continue
        _check_end(prompt, ids, entry, params, tokenizer)
        asked.append((entry.custom_id, ids, entry.token_ids))
    if not asked:
        return Finding("no prompt was answered: there is no token to check", {"tokens": 0})
    try:
        checks = engine.prefill_check(asked)
    except ValueError as error:
        raise Refuted(f"the model cannot have produced this: {error}") from error
    worst, where = 0.0, ""
    for (custom_id, _, tokens), check in zip(asked, checks, strict=True):
        gap, place = widest_gap(check)
        if gap > margin:
            raise Refuted(
                f"token {place + 1} of {len(tokens)} of prompt {custom_id!r} is {tokens[place]}, {gap:.3g} below the "
                f"likeliest, {check.best_token_ids[place]}; the margin is {margin:g}",
                {"prompt": custom_id, "position": place, "gap": gap, "margin": margin},
            )
        if gap >= worst:
            worst, where = gap, custom_id
    tokens_checked = sum(len(item[2]) for item in asked)
    return Finding(
        f"{counted(tokens_checked, 'token')} of {counted(len(asked), 'prompt')}, one prefill each: "
        f"every one is the model's own choice (widest gap {worst:.2g} at {where!r}, margin {margin:g})",
        {"tokens": tokens_checked, "prompts": len(asked), "widest_gap": worst, "margin": margin},
    )


def margin_for(case: Case) -> float:
    """By the dtypes the manifest allows; the widest where one is not calibrated."""
    return max(MARGIN_BY_DTYPE.get(variant.dtype, WIDEST_MARGIN) for variant in case.manifest.variants)


def widest_gap(check: TokenCheck) -> tuple[float, int]:
    """(natural-log probability below the likeliest token, position) of the worst token; (0, 0) without tokens."""
    gaps: Sequence[float] = [
        best - own for best, own in zip(check.best_logprobs, check.logprobs, strict=True)
    ]
    return max(((gap, place) for place, gap in enumerate(gaps)), default=(0.0, 0))


def _comparable(params: GenerationParams) -> None:
    if not params.greedy:
        raise Lacking("sampled outputs (temperature above 0) cannot be checked yet; greedy ones can")
    if params.presence_penalty or params.frequency_penalty or params.repetition_penalty != 1.0:
        raise Lacking("outputs under a penalty cannot be checked yet: one prefill shows logits without it")


def _check_end(
    prompt: Prompt, ids: tuple[int, ...], entry: OutputEntry, params: GenerationParams, tokenizer: Tokenizer
) -> None:
    """An answer cut short, or run on past its end, is not what was asked for."""
    room = min(prompt.max_tokens or params.max_tokens, tokenizer.model_max_len - len(ids))
    tokens = entry.token_ids
    if entry.finish_reason == "length" and len(tokens) != room:
        raise Refuted(f"prompt {entry.custom_id!r} ended for its length at {len(tokens)} of {room} tokens")
    if entry.finish_reason == "stop":
        ended = bool(tokens) and tokens[-1] in tokenizer.eos_token_ids
        if not ended and not any(stop in tokenizer.decode(tokens) for stop in params.stop):
            raise Refuted(f"prompt {entry.custom_id!r} says it stopped, but ends in no stop token or text")
    early = [place for place, token in enumerate(tokens[:-1]) if token in tokenizer.eos_token_ids]
    if early:
        raise Refuted(f"prompt {entry.custom_id!r} runs on past the end token at position {early[0]}")
