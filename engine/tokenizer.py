"""Text to token ids and back, from a model directory's own files, without torch or transformers.

Agrees with transformers' AutoTokenizer, but for one function chat templates may call there: `strftime_now` is
left undefined here, because a prompt that depends on the day cannot be audited on another. Templates test for
it and fall back to a fixed date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import jinja2
import jinja2.ext
import tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.base import EngineError, JsonValue, ModelUnreadable
from engine.modelfiles import read_json, read_json_if_there, token_ids


class ChatTemplateError(EngineError, ValueError):
    """The model has no chat template, or its template refuses these messages."""

    code = "ENGINE-010"
    exit_status = 2


class UnreadableText(EngineError, ValueError):
    """The text is not valid Unicode (half of a surrogate pair, as JSON can smuggle in)."""

    code = "ENGINE-011"
    exit_status = 2


class Tokenizer:
    """The tokenizer of `model_dir`, from its tokenizer.json, tokenizer_config.json and config.json.

    Attributes: `vocab_size` counts added tokens; `model_max_len` is the window in tokens, output included;
    `eos_token_ids` end an output, in the same way for every engine. Raises ModelUnreadable.
    """

    def __init__(self, model_dir: Path) -> None:
        self._tokenizer = _load(model_dir / "tokenizer.json")
        config = read_json_if_there(model_dir / "tokenizer_config.json")
        model = read_json(model_dir / "config.json")
        generation = read_json_if_there(model_dir / "generation_config.json") or model
        self._special_tokens = _special_tokens(config)
        self._template = _chat_template(model_dir, config)
        self.vocab_size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        windows = (config.get("model_max_length"), model.get("max_position_embeddings"))
        self.model_max_len = min((int(item) for item in windows if isinstance(item, int | float)), default=0)
        if self.model_max_len <= 0:
            raise ModelUnreadable(f"{model_dir / 'config.json'}: max_position_embeddings is missing: add it")
        eos = self._tokenizer.token_to_id(self._special_tokens.get("eos_token", ""))
        self.eos_token_ids: frozenset[int] = token_ids(generation.get("eos_token_id")) | token_ids(eos)

    def encode_prompt(self, text: str) -> tuple[int, ...]:
        """Token ids of a plain prompt, with what the tokenizer puts around one (a begin token, say)."""
        return self._encode(text, special_tokens=True)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Token ids of a conversation of {"role", "content"}, up to where the assistant's answer begins."""
        if self._template is None:
            raise ChatTemplateError("chat: this model has no chat template: send a plain prompt")
        try:
            text = self._template.render(
                messages=[dict(item) for item in messages],
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ChatTemplateError(
                f"chat: the model's chat template refuses these messages: {error}"
            ) from error
        return self._encode(text, special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def _encode(self, text: str, *, special_tokens: bool) -> tuple[int, ...]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UnreadableText(f"text: character {error.start} is not valid Unicode: remove it") from error
        return tuple(self._tokenizer.encode(text, add_special_tokens=special_tokens).ids)


def _load(path: Path) -> tokenizers.Tokenizer:
    if not path.exists():
        raise ModelUnreadable(f"{path}: missing: save the model with a fast tokenizer (tokenizer.json)")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ModelUnreadable(f"{path}: not a tokenizer ({error}): fetch the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _special_tokens(config: Mapping[str, JsonValue]) -> dict[str, str]:
    """`bos_token`, `eos_token` and the like by name; each is a string or an object with its `content`."""
    found = {}
    for name, value in config.items():
        token = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(token, str):
            found[name] = token
    return found


def _chat_template(model_dir: Path, config: Mapping[str, JsonValue]) -> jinja2.Template | None:
    file = model_dir / "chat_template.jinja"
    source: JsonValue = file.read_text(encoding="utf-8") if file.exists() else config.get("chat_template")
    if isinstance(source, list):
        named = {item.get("name"): item.get("template") for item in source if isinstance(item, dict)}
        source = named.get("default")
    if not isinstance(source, str):
        return None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise ModelUnreadable(f"{model_dir}: its chat template is not valid ({error}): correct it") from error


class _GenerationBlock(jinja2.ext.Extension):
    """`{% generation %}` marks answers for training; a prompt takes its body as it is."""

    tags = {"generation"}  # noqa: RUF012 - the name and type jinja2 asks for

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: object,
    ensure_ascii: bool = False,  # noqa: FBT001 - templates may pass these by position
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
