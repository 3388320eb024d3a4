"""What a terminal shows. All of it passes through `printable`: answers may come from strangers."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from protocol.digest import JsonValue


def say(text: str) -> None:
    """One or more lines on standard output."""
    from protocol.printable import printable

    print(printable(text), flush=True)


def note(text: str) -> None:
    """A line for the person, on standard error, so that a program reading standard output never sees it."""
    from protocol.printable import printable

    print(printable(text), file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """An error as exactly one line on standard error."""
    note("quern: " + " ".join(message.split()))


def require_yes(question: str, yes: bool) -> None:
    """Go on only if `yes` or the person agrees; a refusal leaves with status 2."""
    try:
        agreed = yes or typer.confirm(question, err=True)
    except typer.Abort:
        note("")
        agreed = False
    if not agreed:
        note("Nothing was sent. Where nobody can be asked, give --yes.")
        raise typer.Exit(2)


def moment(second: int) -> str:
    """Date and time of unix seconds, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(second))


def say_json(value: "JsonValue") -> None:
    """One JSON document on standard output; ASCII only, so nothing in it can drive a terminal."""
    print(json.dumps(value, indent=2, ensure_ascii=True), flush=True)


def jsonable(value: object) -> "JsonValue":
    """A frozen dataclass (or what it holds) as JSON: digests as 0x hex, enums as their values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: jsonable(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [jsonable(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def say_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns aligned by width; the last one is left ragged."""
    from protocol.printable import printable

    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(padded).rstrip(), flush=True)
