"""The CLI reference as Markdown, written from the commands themselves so that the two cannot differ."""

import inspect
from collections.abc import Iterator
from typing import Any

from quern.cli import ENTRIES, load

HEADING = """# The command line

Written by `scripts/write_cli_reference` from the commands themselves; do not edit.

Exit statuses: 0 done; 2 the caller must change something; 3 not now, try again; 1 a defect of ours.
Errors are one line on standard error; `QUERN_DEBUG=1` adds the traceback. What a program may read goes to
standard output, `--json` makes it one JSON document.
"""


def render() -> str:
    """The whole page; imports every command's module."""
    parts = [HEADING]
    for entry in ENTRIES:
        parts.extend(_sections(f"quern {entry.name}", load(entry)))
    return "\n".join(parts).rstrip() + "\n"


def _sections(name: str, command: Any) -> Iterator[str]:
    children = getattr(command, "commands", {})
    yield f"## {name}\n" if name.count(" ") == 1 else f"### {name}\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    if not children:
        words = [name, *(_argument(p) for p in arguments), *(["[OPTIONS]"] if options else [])]
        yield f"    {' '.join(words)}\n"
    rows = [(f"`{_argument(p)}`", p.help or "") for p in arguments]
    rows += [(f"`{', '.join((*p.opts, *p.secondary_opts))}`", _option_help(p)) for p in options]
    if rows:
        yield "| | |\n| --- | --- |"
        yield "\n".join(f"| {left} | {_cell(right)} |" for left, right in rows) + "\n"
    for child, sub_command in children.items():
        yield from _sections(f"{name} {child}", sub_command)


def _argument(parameter: Any) -> str:
    shown = str(parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
    return shown if parameter.required else f"[{shown}]"


def _option_help(parameter: Any) -> str:
    extras = []
    if parameter.envvar:
        extras.append(f"${parameter.envvar}")
    if parameter.required:
        extras.append("required")
    if parameter.default not in (None, False, True, [], ()) and not callable(parameter.default):
        extras.append(f"default {getattr(parameter.default, 'value', parameter.default)}")
    tail = f" ({'; '.join(extras)})" if extras else ""
    return f"{parameter.help or ''}{tail}".strip()


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
