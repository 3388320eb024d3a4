"""What a requester brings: one prompt, a text file or an OpenAI Batch file: checked before it is paid for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.batchfile import DEFAULT_LIMITS, FileLimits, Message, Prompt
from protocol.digest import JsonValue
from protocol.errors import BadInput
from protocol.openai_batch import read_openai_batch
from protocol.params import GenerationParams

DEFAULT_MAX_TOKENS = 256
SINGLE_ID = "prompt-1"


class InputUnreadable(BadInput):
    """A file of prompts that cannot be read as UTF-8 text, or is empty or too large."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            "ASK-001", "input file", str(path), f"{reason}; give a UTF-8 text or JSON Lines file"
        )


class NoPrompt(BadInput):
    """Nothing was asked, or two things at once."""

    def __init__(self, given: str) -> None:
        super().__init__(
            "ASK-002", "prompt", given, "give exactly one: a prompt, --file TEXT or --batch JSONL"
        )


class PromptTooLong(BadInput):
    """A prompt that leaves the model's window no room for an answer."""

    def __init__(self, custom_id: str, tokens: int, window: int) -> None:
        self.tokens = tokens
        super().__init__(
            "ASK-003",
            f"prompt {custom_id!r}",
            f"{tokens} tokens",
            f"the model's window is {window} tokens, answer included; shorten it",
        )


@dataclass(frozen=True, slots=True)
class Question:
    """Prompts and how all of them are sampled."""

    prompts: tuple[Prompt, ...]
    params: GenerationParams

    @property
    def max_output_tokens(self) -> int:
        return sum(prompt.max_tokens or self.params.max_tokens for prompt in self.prompts)


@dataclass(frozen=True, slots=True)
class Window:
    """A model's context window, and how many tokens a prompt is once the model's own template rendered it."""

    tokens: int
    count: Callable[[Prompt], int]


def from_text(
    text: str, params: GenerationParams, *, system: str | None = None, is_chat: bool = True
) -> Question:
    """One prompt: a chat turn after an optional system message, or a text to go on from. Raises NoPrompt."""
    if not text.strip():
        raise NoPrompt(text)
    if not is_chat:
        return Question((Prompt(SINGLE_ID, prompt=text),), params)
    turns = [Message("system", system)] if system else []
    return Question((Prompt(SINGLE_ID, messages=(*turns, Message("user", text))),), params)


def from_batch(
    path: Path, sampling: Mapping[str, JsonValue], limits: FileLimits = DEFAULT_LIMITS
) -> Question:
    """An OpenAI Batch input file; `sampling` overrides what its lines say.

    Raises InputUnreadable, MalformedInput, BadParams.
    """
    batch = read_openai_batch(read_bytes(path, limits), limits)
    return Question(batch.prompts, params_of({**batch.sampling, **sampling}))


def params_of(sampling: Mapping[str, JsonValue]) -> GenerationParams:
    """Parameters from the fields given; `max_tokens` is 256 where none is. Raises BadParams."""
    given: dict[str, object] = {"max_tokens": DEFAULT_MAX_TOKENS, **sampling}
    return GenerationParams(**given)  # type: ignore[arg-type]  # each field is checked there


def read_text(path: Path, limits: FileLimits = DEFAULT_LIMITS) -> str:
    """A whole text file as one prompt, without the newline editors end it with. Raises InputUnreadable."""
    try:
        text = read_bytes(path, limits).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputUnreadable(path, f"byte {error.start} is no UTF-8") from error
    if not text.strip():
        raise InputUnreadable(path, "it is empty")
    return text.removesuffix("\n")


def read_bytes(path: Path, limits: FileLimits) -> bytes:
    """Raises InputUnreadable before holding more than `limits.max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    except OSError as error:
        raise InputUnreadable(path, str(error.strerror)) from error
    if len(data) > limits.max_bytes:
        raise InputUnreadable(path, f"it is larger than {limits.max_bytes} bytes")
    return data


def check_window(question: Question, window: Window) -> int:
    """Tokens of all prompts together. PromptTooLong where one leaves no room for an answer."""
    total = 0
    for prompt in question.prompts:
        tokens = window.count(prompt)
        if tokens >= window.tokens:
            raise PromptTooLong(prompt.custom_id, tokens, window.tokens)
        total += tokens
    return total
