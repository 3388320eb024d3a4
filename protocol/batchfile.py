"""Input and output files of a task: JSON Lines in the OpenAI Batch format; a line of ours heads the input."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.digest import (
    HEX_DIGEST,
    JsonValue,
    MalformedJson,
    canonical_json,
    canonical_text,
    from_hex,
    parse_json,
    to_hex,
)
from protocol.errors import BadInput
from protocol.form import Form, blank
from protocol.merkle import output_root
from protocol.params import MAX_OUTPUT_TOKENS, GenerationParams
from protocol.receipt import TableRow

INPUT_VERSION = 1
CHAT_URL = "/v1/chat/completions"
COMPLETION_URL = "/v1/completions"
ROLES = ("system", "user", "assistant")
MAX_CUSTOM_ID_CHARS = 128
_LINE_DEPTH = 6
_TOKEN_LIMIT = 1 << 32


class MalformedInput(BadInput):
    """An input file that breaks the format; `line` counts from 1, 0 stands for the whole file."""

    def __init__(self, line: int, field: str, value: object, fix: str) -> None:
        self.line = line
        super().__init__("INPUT-001", f"line {line}, {field}" if line else field, value, fix)


class MalformedOutput(BadInput):
    """An output file that breaks the format; `line` counts from 1, 0 stands for the whole file."""

    def __init__(self, line: int, field: str, value: object, fix: str) -> None:
        self.line = line
        super().__init__("OUTPUT-001", f"line {line}, {field}" if line else field, value, fix)


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What a reader is ready to hold; a file beyond any of these is malformed."""

    max_bytes: int = 64 * 1024 * 1024
    max_line_bytes: int = 4 * 1024 * 1024
    max_prompts: int = 100_000
    max_messages: int = 1_024


DEFAULT_LIMITS = FileLimits()


class PromptTokenizer(Protocol):
    """A model's own way from prompts to token ids."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]: ...
    def encode_prompt(self, text: str) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is one of ROLES."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line of the input: a chat (`messages`) or a text to go on from (`prompt`), never both."""

    custom_id: str
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    max_tokens: int | None = None

    @property
    def is_chat(self) -> bool:
        return self.prompt is None

    def chat(self) -> list[dict[str, str]]:
        """The messages as a chat template takes them."""
        return [{"role": message.role, "content": message.content} for message in self.messages]

    def token_ids(self, tokenizer: PromptTokenizer) -> tuple[int, ...]:
        """A chat under the model's template, a text as it is. Raises what the tokenizer raises."""
        if self.prompt is None:
            return tokenizer.encode_chat(self.chat())
        return tokenizer.encode_prompt(self.prompt)


@dataclass(frozen=True, slots=True)
class InputFile:
    """The random salt keeps a short prompt from being guessed from its digest."""

    salt: bytes
    prompts: tuple[Prompt, ...]

    def max_output_tokens(self, params: GenerationParams) -> int:
        """The least `maxOutputTokens` a request for this file must allow: the sum over its prompts."""
        return sum(prompt.max_tokens or params.max_tokens for prompt in self.prompts)


@dataclass(frozen=True, slots=True)
class OutputEntry:
    """One prompt's answer. With `error` set, there are no tokens and `finish_reason` is "error"."""

    custom_id: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    prompt_tokens: int
    error: str | None = None
    is_chat: bool = True


@dataclass(frozen=True, slots=True)
class OutputFile:
    """Answers in the order of the input's prompts."""

    entries: tuple[OutputEntry, ...]

    def token_ids(self) -> tuple[int, ...]:
        """All outputs joined: what `output_root` commits to."""
        return tuple(token for entry in self.entries for token in entry.token_ids)

    def root(self) -> bytes:
        return output_root(self.token_ids())

    def table(self) -> tuple[TableRow, ...]:
        return tuple(TableRow(len(entry.token_ids), entry.finish_reason) for entry in self.entries)

    def output_tokens(self) -> int:
        return sum(len(entry.token_ids) for entry in self.entries)

    def prompt_tokens(self) -> int:
        return sum(entry.prompt_tokens for entry in self.entries)


def write_input(salt: bytes, prompts: Sequence[Prompt]) -> bytes:
    """The file as it is stored and hashed; same prompts and salt, same bytes. Raises MalformedInput."""
    data = _lines([{"quern": INPUT_VERSION, "salt": to_hex(salt)}, *(_prompt_line(p) for p in prompts)])
    read_input(data)
    return data


def read_input(data: bytes, limits: FileLimits = DEFAULT_LIMITS) -> InputFile:
    """A stored input, trusted in nothing. Raises MalformedInput naming the line."""
    lines = _split(data, limits, MalformedInput)
    number, header = next(lines, (1, {}))
    if header.keys() != {"quern", "salt"} or header["quern"] != INPUT_VERSION:
        raise MalformedInput(number, "header", header, 'start with {"quern": 1, "salt": "0x<64 hex digits>"}')
    salt_text = header["salt"]
    if not isinstance(salt_text, str) or not HEX_DIGEST.fullmatch(salt_text):
        raise MalformedInput(number, "salt", salt_text, "give 0x and 64 lower-case hex digits")
    prompts: list[Prompt] = []
    seen: set[str] = set()
    for number, line in lines:
        prompt = read_prompt_line(number, line, limits)
        if prompt.custom_id in seen:
            raise MalformedInput(number, "custom_id", prompt.custom_id, "give each line its own")
        seen.add(prompt.custom_id)
        prompts.append(prompt)
    if not prompts:
        raise MalformedInput(0, "prompts", 0, "give at least one prompt after the header")
    return InputFile(from_hex("salt", salt_text), tuple(prompts))


def read_prompt_line(number: int, line: dict[str, JsonValue], limits: FileLimits) -> Prompt:
    """One request line of an input. Raises MalformedInput."""
    _only(number, "field", line, {"custom_id", "method", "url", "body"})
    custom_id = _custom_id(number, line.get("custom_id"))
    if line.get("method", "POST") != "POST":
        raise MalformedInput(number, "method", line["method"], 'leave it out or give "POST"')
    body = line.get("body")
    if not isinstance(body, dict):
        raise MalformedInput(number, "body", body, "give an object with messages or prompt")
    _only(number, "body", body, {"messages", "prompt", "max_tokens"})
    if ("messages" in body) == ("prompt" in body):
        raise MalformedInput(number, "body", sorted(body), "give either messages or prompt")
    url = CHAT_URL if "messages" in body else COMPLETION_URL
    if line.get("url", url) != url:
        raise MalformedInput(number, "url", line["url"], f'leave it out or give "{url}"')
    max_tokens = body.get("max_tokens")
    if max_tokens is not None and (not _is_int(max_tokens) or not 1 <= max_tokens <= MAX_OUTPUT_TOKENS):
        raise MalformedInput(number, "max_tokens", max_tokens, f"give 1 to {MAX_OUTPUT_TOKENS}")
    if "messages" in body:
        return Prompt(custom_id, messages=_messages(number, body["messages"], limits), max_tokens=max_tokens)
    text = body["prompt"]
    if not isinstance(text, str) or not text:
        raise MalformedInput(number, "prompt", text, "give a text that is not empty")
    return Prompt(custom_id, prompt=text, max_tokens=max_tokens)


def write_output(entries: Sequence[OutputEntry]) -> bytes:
    """OpenAI Batch output lines; `choices[0]` also carries `token_ids`. Same entries, same bytes."""
    return b"".join(_entry_line(index, entry) + b"\n" for index, entry in enumerate(entries))


def read_output(data: bytes, limits: FileLimits = DEFAULT_LIMITS) -> OutputFile:
    """A stored output, trusted in nothing. Raises MalformedOutput naming the line."""
    entries = tuple(_read_entry(number, line) for number, line in _split(data, limits, MalformedOutput))
    if len({entry.custom_id for entry in entries}) != len(entries):
        raise MalformedOutput(0, "custom_id", "repeated", "give each line its own")
    return OutputFile(entries)


def split_lines(data: bytes, limits: FileLimits) -> Iterator[tuple[int, dict[str, JsonValue]]]:
    """(line number, object) of each line of a JSON Lines input. Raises MalformedInput."""
    return _split(data, limits, MalformedInput)


def _split(
    data: bytes, limits: FileLimits, malformed: type[MalformedInput] | type[MalformedOutput]
) -> Iterator[tuple[int, dict[str, JsonValue]]]:
    if len(data) > limits.max_bytes:
        raise malformed(0, "size", len(data), f"stay within {limits.max_bytes} bytes")
    if data.startswith(b"\xef\xbb\xbf"):
        raise malformed(1, "encoding", "byte order mark", "save as UTF-8 without a byte order mark")
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if len(lines) > limits.max_prompts + 1:
        raise malformed(0, "lines", len(lines), f"stay within {limits.max_prompts} prompts")
    for number, raw in enumerate(lines, 1):
        if len(raw) > limits.max_line_bytes:
            raise malformed(number, "size", len(raw), f"stay within {limits.max_line_bytes} bytes a line")
        try:
            value = parse_json("line", raw, max_bytes=limits.max_line_bytes, max_depth=_LINE_DEPTH)
        except MalformedJson as error:
            raise malformed(number, "json", error.value, "give one strict JSON object per line") from error
        if not isinstance(value, dict):
            raise malformed(number, "json", value, "give one JSON object per line")
        yield number, value


def _lines(objects: Iterable[JsonValue]) -> bytes:
    return b"".join(canonical_json(item) + b"\n" for item in objects)


def _only(number: int, field: str, holder: dict[str, JsonValue], known: set[str]) -> None:
    for name in holder:
        if name not in known:
            fix = f"leave it out; known are {', '.join(sorted(known))} (sampling belongs to the task)"
            raise MalformedInput(number, field, name, fix)


def _custom_id(number: int, value: JsonValue) -> str:
    """Ids are printed on terminals and in reports, so nothing invisible may stand in them."""
    fix = f"give 1 to {MAX_CUSTOM_ID_CHARS} printable characters"
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_CUSTOM_ID_CHARS:
        raise MalformedInput(number, "custom_id", value, fix)
    if any(unicodedata.category(char)[0] == "C" for char in value):
        raise MalformedInput(number, "custom_id", value, fix)
    return value


def _messages(number: int, value: JsonValue, limits: FileLimits) -> tuple[Message, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= limits.max_messages:
        raise MalformedInput(number, "messages", value, f"give a list of 1 to {limits.max_messages} messages")
    found = []
    for item in value:
        match item:
            case {"role": str(role), "content": str(content), **rest} if role in ROLES and not rest:
                found.append(Message(role, content))
            case _:
                fix = f"give role ({', '.join(ROLES)}) and content (a text), nothing else"
                raise MalformedInput(number, "messages", item, fix)
    return tuple(found)


def _prompt_line(prompt: Prompt) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {"messages": prompt.chat()} if prompt.is_chat else {"prompt": prompt.prompt}
    if prompt.max_tokens is not None:
        body["max_tokens"] = prompt.max_tokens
    url = CHAT_URL if prompt.is_chat else COMPLETION_URL
    return {"custom_id": prompt.custom_id, "method": "POST", "url": url, "body": body}


def _output_line(kind: str, choice: dict[str, JsonValue]) -> Form:
    """A line of a prompt that was served; `choice` says where its text stands."""
    body: dict[str, JsonValue] = {
        "object": kind,
        "choices": [
            {"index": 0, "finish_reason": blank("reason"), "token_ids": blank("token_ids"), **choice},
        ],
        "usage": {
            "prompt_tokens": blank("prompt_tokens"),
            "completion_tokens": blank("completion_tokens"),
            "total_tokens": blank("total_tokens"),
        },
    }
    response: dict[str, JsonValue] = {"status_code": 200, "request_id": blank("line_id"), "body": body}
    return Form(
        {"id": blank("line_id"), "custom_id": blank("custom_id"), "response": response, "error": None}
    )


_CHAT_LINE = _output_line("chat.completion", {"message": {"role": "assistant", "content": blank("text")}})
_COMPLETION_LINE = _output_line("text_completion", {"text": blank("text")})


def _entry_line(index: int, entry: OutputEntry) -> bytes:
    if entry.error is not None:
        return canonical_json(
            {
                "id": f"quern-{index}",
                "custom_id": entry.custom_id,
                "response": None,
                "error": {"code": "not_served", "message": entry.error},
            }
        )
    return (_CHAT_LINE if entry.is_chat else _COMPLETION_LINE).filled(
        line_id=f'"quern-{index}"',
        custom_id=canonical_text(entry.custom_id),
        reason=canonical_text(entry.finish_reason),
        text=canonical_text(entry.text),
        token_ids=f"[{','.join(map(str, entry.token_ids))}]",
        prompt_tokens=entry.prompt_tokens,
        completion_tokens=len(entry.token_ids),
        total_tokens=entry.prompt_tokens + len(entry.token_ids),
    )


def _read_entry(number: int, line: dict[str, JsonValue]) -> OutputEntry:
    match line:
        case {"custom_id": str(custom_id), "response": None, "error": {"message": str(message)}}:
            return OutputEntry(custom_id, "", (), "error", 0, error=message)
        case {
            "custom_id": str(custom_id),
            "error": None,
            "response": {
                "body": {
                    "choices": [
                        {"finish_reason": "stop" | "length" as reason, "token_ids": list(tokens), **choice}
                    ],
                    "usage": {"prompt_tokens": int(prompt_tokens), "completion_tokens": int(counted)},
                }
            },
        }:
            if counted != len(tokens) or not _is_int(prompt_tokens) or not 0 <= prompt_tokens < _TOKEN_LIMIT:
                raise MalformedOutput(number, "usage", counted, f"it holds {len(tokens)} tokens")
            if not all(_is_int(token) and 0 <= token < _TOKEN_LIMIT for token in tokens):
                raise MalformedOutput(number, "token_ids", tokens, "give whole numbers below 2**32")
            text, is_chat = _read_text(number, choice)
            return OutputEntry(custom_id, text, tuple(tokens), str(reason), prompt_tokens, is_chat=is_chat)
        case _:
            raise MalformedOutput(
                number, "line", sorted(line), "give an OpenAI Batch output line with token_ids"
            )


def _read_text(number: int, choice: Mapping[object, object]) -> tuple[str, bool]:
    match choice:
        case {"message": {"content": str(text)}}:
            return text, True
        case {"text": str(text)}:
            return text, False
        case _:
            raise MalformedOutput(number, "choices", list(choice), "give message.content or text")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
