"""What the small JSON files of a Hugging Face model directory say, without loading the model."""

from __future__ import annotations

import json
from pathlib import Path

from engine.base import JsonValue, ModelUnreadable


def read_json(path: Path) -> dict[str, JsonValue]:
    """A JSON object from a file. Raises ModelUnreadable naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelUnreadable(
            f"{path}: {error.strerror}: give a directory in Hugging Face's layout"
        ) from error
    except ValueError as error:
        raise ModelUnreadable(f"{path}: not valid JSON ({error}): fetch the model again") from error
    if not isinstance(value, dict):
        raise ModelUnreadable(f"{path}: holds {type(value).__name__}, not an object: fetch the model again")
    return value


def read_json_if_there(path: Path) -> dict[str, JsonValue]:
    """As `read_json`; an empty object where there is no such file."""
    return read_json(path) if path.exists() else {}


def token_ids(value: JsonValue) -> frozenset[int]:
    """The ids in a `*_token_id` field, which holds nothing, one id or a list of them."""
    values = value if isinstance(value, list) else [value]
    return frozenset(item for item in values if isinstance(item, int) and not isinstance(item, bool))
