"""What this wallet asked, one file per task, written before anything is sent.

A task's id is the digest of its request and opens once for ever, so sending a journalled request again
can never pay twice. The file is what `--wait` resumes from, and all that is lost with it is convenience.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.files import replace_file
from protocol.digest import JsonValue, from_hex, parse_json, to_hex
from protocol.domain import Domain
from protocol.errors import BadInput, QuernError
from protocol.request import MEMBERS, Request, as_tuple, task_id

_VERSION = 1
_MAX_BYTES = 64 * 1024


class DamagedJournal(BadInput):
    """A journal file that cannot be read back, or whose request does not hash to its id."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__("JOURNAL-001", "journal", path.name, f"{reason}; delete the file")


class NotInJournal(BadInput):
    """No request of that id was made from this home folder."""

    def __init__(self, task: bytes) -> None:
        super().__init__("JOURNAL-002", "task", task, "it was not submitted from here; see 'quern tasks'")


class AmbiguousTask(BadInput):
    """A shortened task id that is no hex, or fits no task or several."""

    def __init__(self, text: str, fix: str) -> None:
        super().__init__("JOURNAL-003", "task", text, fix)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A request as it was about to be sent. `store_url` holds its input, `created_at` is unix seconds."""

    domain: Domain
    request: Request
    wallet: str
    store_url: str
    prompts: int
    created_at: int

    @property
    def task_id(self) -> bytes:
        return task_id(self.domain, self.request)


@dataclass(frozen=True, slots=True)
class Journal:
    """The entries of one home folder."""

    folder: Path

    def record(self, entry: JournalEntry) -> None:
        """Write an entry durably; writing it again changes nothing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._path(entry.task_id), json.dumps(_to_json(entry), indent=1).encode())

    def discard(self, task: bytes) -> None:
        """Forget a request that was never sent."""
        self._path(task).unlink(missing_ok=True)

    def get(self, task: bytes) -> JournalEntry:
        """Raises NotInJournal, DamagedJournal."""
        path = self._path(task)
        if not path.is_file():
            raise NotInJournal(task)
        return _read(path)

    def entries(self, domain: Domain) -> tuple[JournalEntry, ...]:
        """Every entry of one market, oldest first; those of a devnet that is gone are left out."""
        found = [_read(path) for path in self.folder.glob("*.json")] if self.folder.is_dir() else []
        return tuple(
            sorted((e for e in found if e.domain == domain), key=lambda e: (e.created_at, e.task_id))
        )

    def _path(self, task: bytes) -> Path:
        return self.folder / f"{task.hex()}.json"


def _to_json(entry: JournalEntry) -> dict[str, JsonValue]:
    return {
        "quern": _VERSION,
        "task_id": to_hex(entry.task_id),
        "chain_id": entry.domain.chain_id,
        "market": entry.domain.market,
        "wallet": entry.wallet,
        "store_url": entry.store_url,
        "prompts": entry.prompts,
        "created_at": entry.created_at,
        "request": request_to_json(entry.request),
    }


def request_to_json(request: Request) -> dict[str, JsonValue]:
    """Every field by its name, digests in hex."""
    members = zip(MEMBERS, as_tuple(request), strict=True)
    return {field: to_hex(value) if isinstance(value, bytes) else value for (_, _, field), value in members}


def request_from_json(members: Mapping[str, JsonValue]) -> Request:
    """Raises KeyError, TypeError, BadInput."""
    values: dict[str, Any] = {
        field: from_hex(field, members[field]) if kind == "bytes32" else members[field]
        for kind, _, field in MEMBERS
    }
    return Request(**values)


def _read(path: Path) -> JournalEntry:
    try:
        top = parse_json("journal", path.read_bytes(), max_bytes=_MAX_BYTES)
        entry = _from_json(top)
    except (QuernError, OSError, KeyError, TypeError) as error:
        raise DamagedJournal(path, "it cannot be read") from error
    if path.stem != entry.task_id.hex():
        raise DamagedJournal(path, "its request does not hash to its id")
    return entry


def _from_json(top: JsonValue) -> JournalEntry:
    match top:
        case {
            "quern": 1,
            "chain_id": int(chain_id),
            "market": str(market),
            "wallet": str(wallet),
            "store_url": str(store_url),
            "prompts": int(prompts),
            "created_at": int(created_at),
            "request": dict(members),
        }:
            request = request_from_json(members)
            return JournalEntry(Domain(chain_id, market), request, wallet, store_url, prompts, created_at)
        case _:
            raise TypeError("unknown layout")


def parse_task_id(text: str, known: tuple[bytes, ...] = ()) -> bytes:
    """A task id as a person gives it: all 64 hex digits, or a beginning that fits one known task.

    Raises AmbiguousTask.
    """
    digits = text.strip().lower().removeprefix("0x")
    if not digits or any(digit not in "0123456789abcdef" for digit in digits) or len(digits) > 64:
        raise AmbiguousTask(text, "give 0x and 64 hex digits, or their beginning")
    if len(digits) == 64:
        return bytes.fromhex(digits)
    fitting = [task for task in known if task.hex().startswith(digits)]
    if not fitting:
        raise AmbiguousTask(text, f"it is unknown: none of the {len(known)} known tasks begins so")
    if len(fitting) > 1:
        raise AmbiguousTask(text, f"it fits {len(fitting)} of {len(known)} known tasks; give more digits")
    return fitting[0]
