"""The commented configuration file, generated from the settings' own definition so that the two cannot diverge."""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from worker.config import ENV_PREFIX, WorkerConfig

_WIDTH = 100


def render(config: WorkerConfig) -> str:
    """TOML text that loads back to `config`; values left at their default are commented out."""
    lines = [
        "# Settings of a Quern worker. A line that starts with `# name =` shows a default.",
        f"# Each can be set from the environment: {ENV_PREFIX}CHAIN__RPC_URL sets [chain] rpc_url.",
        "",
    ]
    sections: list[str] = []
    for name, info in WorkerConfig.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            sections += ["", *_about(value), f"[{name}]", *_section(value)]
        elif name == "models":
            for model in value:
                sections += ["", *_about(model), "[[models]]", *_section(model)]
        else:
            lines += list(_entry(name, info, value))
    return "\n".join([*lines, *sections]) + "\n"


def _about(section: BaseModel) -> Iterator[str]:
    return (f"# {line}" for line in _wrapped(section.__doc__ or ""))


def _section(section: BaseModel) -> list[str]:
    return [
        line
        for name, info in type(section).model_fields.items()
        for line in _entry(name, info, getattr(section, name))
    ]


def _entry(name: str, info: FieldInfo, value: object) -> Iterator[str]:
    for line in _wrapped(info.description or name):
        yield f"# {line}"
    default = not info.is_required() and value == info.get_default(call_default_factory=True)
    yield f"{'# ' if default else ''}{name} = {_toml(value)}"


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + len(word) >= _WIDTH:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    yield line


def _toml(value: object) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case str() | Path():
            # A JSON string with ASCII escapes is a TOML basic string.
            return json.dumps(str(value))
        case tuple() | list():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case _:
            return str(value)
