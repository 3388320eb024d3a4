"""Files people already have: OpenAI Batch input files, whose sampling stands on every line."""

from dataclasses import dataclass

from protocol.batchfile import (
    DEFAULT_LIMITS,
    FileLimits,
    MalformedInput,
    Prompt,
    read_prompt_line,
    split_lines,
)
from protocol.digest import JsonValue

SAMPLING_FIELDS = (
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "stop",
    "seed",
)


@dataclass(frozen=True, slots=True)
class OpenAiBatch:
    """Prompts, and the sampling fields all lines agree on (named as in GenerationParams)."""

    prompts: tuple[Prompt, ...]
    sampling: dict[str, JsonValue]


def read_openai_batch(data: bytes, limits: FileLimits = DEFAULT_LIMITS) -> OpenAiBatch:
    """Takes `model`, sampling fields and `max_completion_tokens` as OpenAI has them.

    Sampling must be the same on every line, because a task has one. Raises MalformedInput naming the line.
    """
    prompts: list[Prompt] = []
    sampling: dict[str, JsonValue] | None = None
    seen: set[str] = set()
    for number, line in split_lines(data, limits):
        body = line.get("body")
        here: dict[str, JsonValue] = {}
        if isinstance(body, dict):
            here = _lift_sampling(body)
            line = {**line, "body": _plain_body(body)}
        prompt = read_prompt_line(number, line, limits)
        if prompt.custom_id in seen:
            raise MalformedInput(number, "custom_id", prompt.custom_id, "give each line its own")
        if sampling is not None and here != sampling:
            raise MalformedInput(
                number, "sampling", here, "sample every line alike, or submit separate files"
            )
        seen.add(prompt.custom_id)
        sampling = here
        prompts.append(prompt)
    if not prompts:
        raise MalformedInput(0, "prompts", 0, "give at least one line")
    return OpenAiBatch(tuple(prompts), sampling or {})


def _lift_sampling(body: dict[str, JsonValue]) -> dict[str, JsonValue]:
    found = {name: body[name] for name in SAMPLING_FIELDS if body.get(name) is not None}
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    return found


def _plain_body(body: dict[str, JsonValue]) -> dict[str, JsonValue]:
    kept = {name: value for name, value in body.items() if name not in SAMPLING_FIELDS and name != "model"}
    if "max_completion_tokens" in kept:
        kept.setdefault("max_tokens", kept.pop("max_completion_tokens"))
    return kept
