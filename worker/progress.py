"""Tokens on their way to disk as they come: an append-only file that is read once, after a crash.

Each frame is one line, `crc32 [time, entries]`. It is written, not synced: what is written survives the death of any
process, and after a loss of power the work is done again. A torn or spoiled frame ends the reading.

    ["run", number, {...}]                      how tasks are run
    ["task", number, task, run, started_at]     an engine got a task
    [number, place, tokens]                     new tokens of a prompt; with a time behind, that of its first token
    ["end", number, place, reason, prompt_tokens, submitted_at, first_token_at, finished_at]
    ["again", number, {place: length}]          taken up again with so many tokens of the unfinished prompts
    ["was", number, at, prompts, tokens]        was taken up again, before the file was written anew
    ["gone", number]                            nothing more is needed of a task
"""

import json
import logging
import os
import time
import zlib
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.base import Completion
from worker.kept import Kept, Resumption
from worker.run import Run
from worker.steps import Step, step

LOG = logging.getLogger("quern.worker.engine")
# An idle file is emptied at the first size; a busy one written anew, without what is gone, at the second.
_EMPTIED_ABOVE_BYTES = 64 << 10
_REWRITTEN_ABOVE_BYTES = 16 << 20
_RETRY_SECS = 10.0


class ProgressLog:
    """What is kept of each task in work. A full disk stops the writing, not the work. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[bytes, Kept] = {}
        self._numbers: dict[bytes, int] = {}
        self._runs: dict[Run, int] = {}
        self._next = 0
        self._entries: list[object] = []
        self._file: int | None = None
        self._size = 0
        self._limit = _REWRITTEN_ABOVE_BYTES
        self._retry_at = 0.0
        if path.exists():
            self._kept = kept_in(path)
            self._rewrite()

    def of(self, task_id: bytes) -> Kept | None:
        return self._kept.get(task_id)

    def begin(self, task_id: bytes, run: Run, now: float) -> Kept:
        """An engine gets this task for the first time; all of a group at the same moment."""
        kept = self._kept[task_id] = Kept(task_id, run, now)
        self._announce(kept)
        return kept

    def again(self, kept: Kept, lengths: dict[int, int]) -> None:
        """An engine gets it again, with that many tokens of the prompts that are not finished."""
        kept.cut(lengths, time.time())
        self._entries.append(["again", self._numbers[kept.task_id], lengths])

    def tokens(self, kept: Kept, place: int, token_ids: Sequence[int]) -> None:
        found = kept.tokens.get(place)
        if found is None:
            found = kept.tokens[place] = []
            kept.first_token_at[place] = time.time()
        found.extend(token_ids)
        self._entries.append([self._numbers[kept.task_id], place, token_ids])

    def end(self, kept: Kept, place: int, completion: Completion) -> None:
        """A prompt is through, and not by an error: those are tried again."""
        kept.completions[place] = completion
        self._entries.append(_end(self._numbers[kept.task_id], place, completion))

    def forget(self, task_ids: Iterable[bytes]) -> None:
        """These are durable elsewhere, or no longer wanted."""
        for task_id in task_ids:
            if self._kept.pop(task_id, None) is not None:
                self._entries.append(["gone", self._numbers.pop(task_id)])

    def keep_only(self, task_ids: Collection[bytes]) -> None:
        self.forget([task_id for task_id in self._kept if task_id not in task_ids])

    def flush(self) -> None:
        """Write what came since the last time."""
        if not self._entries:
            return
        if self._file is None:
            # The disk took nothing: what is kept in memory is written whole once it does again.
            self._entries.clear()
            if time.monotonic() > self._retry_at:
                self._rewrite()
            return
        frame = _framed(time.time(), self._entries)
        self._entries.clear()
        if not self._kept and self._size > _EMPTIED_ABOVE_BYTES:
            self._rewrite()
            return
        try:
            self._write(self._file, frame)
        except OSError as error:
            self._lose(error)
            return
        if self._size > self._limit:
            self._rewrite()

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _rewrite(self) -> None:
        """The file anew, with what is kept now: no torn end, nothing that is gone."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._numbers.clear()
        self._runs.clear()
        self._entries.clear()
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            self._size = 0
            try:
                for kept in self._kept.values():
                    self._announce(kept)
                    self._restate(kept)
                if self._entries:
                    self._write(file, _framed(time.time(), self._entries))
                with step(Step.RENEW_TOKENS):
                    fresh.replace(self._path)
            except OSError:
                os.close(file)
                raise
        except OSError as error:
            self._lose(error)
            return
        finally:
            self._entries.clear()
        self._file = file
        self._limit = max(_REWRITTEN_ABOVE_BYTES, 4 * self._size)

    def _announce(self, kept: Kept) -> None:
        run = self._runs.get(kept.run)
        if run is None:
            run = self._runs[kept.run] = self._number()
            self._entries.append(["run", run, kept.run.to_json()])
        number = self._numbers[kept.task_id] = self._number()
        self._entries.append(["task", number, kept.task_id.hex(), run, kept.started_at])

    def _restate(self, kept: Kept) -> None:
        number = self._numbers[kept.task_id]
        self._entries += (
            [number, place, ids, kept.first_token_at[place]] for place, ids in kept.tokens.items()
        )
        self._entries += (_end(number, place, completion) for place, completion in kept.completions.items())
        self._entries += (["was", number, each.at, each.prompts, each.tokens] for each in kept.resumed)

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _write(self, file: int, frame: bytes) -> None:
        view = memoryview(frame)
        with step(Step.KEEP_TOKENS):
            while view:
                view = view[os.write(file, view) :]
        self._size += len(frame)

    def _lose(self, error: OSError) -> None:
        LOG.warning("tokens are not kept on disk for now: %s", error)
        self._retry_at = time.monotonic() + _RETRY_SECS
        if self._file is not None:
            os.close(self._file)
            self._file = None


def kept_in(path: Path) -> dict[bytes, Kept]:
    """What a file holds, by task, up to its first torn frame; nothing of one that is away or none of ours."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    reading = _Reading()
    with suppress(LookupError, ValueError, TypeError, AttributeError):
        for line in lines:
            at, entries = _unframed(line)
            for entry in entries:
                reading.take(entry, at)
    return {kept.task_id: kept for kept in reading.tasks.values()}


class _Reading:
    """The entries of a file, taken in order. Raises LookupError, ValueError, TypeError for what is none of ours."""

    def __init__(self) -> None:
        self.tasks: dict[int, Kept] = {}
        self._runs: dict[int, Run] = {}

    def take(self, entry: list[Any], at: float) -> None:
        kind = entry[0]
        if kind == "run":
            self._runs[entry[1]] = Run.from_json(entry[2])
        elif kind == "task":
            task_id = bytes.fromhex(entry[2])
            self.tasks[entry[1]] = Kept(task_id, self._runs[entry[3]], float(entry[4]))
        elif kind == "gone":
            self.tasks.pop(entry[1], None)
        elif kind == "end":
            _, number, place, reason, prompt_tokens, *times = entry
            kept = self.tasks[number]
            ids = tuple(kept.tokens.setdefault(place, []))
            kept.completions[place] = Completion("", ids, reason, None, prompt_tokens, *times)
        elif kind == "again":
            self.tasks[entry[1]].cut({int(place): length for place, length in entry[2].items()}, at)
        elif kind == "was":
            self.tasks[entry[1]].resumed.append(Resumption(*entry[2:]))
        else:
            number, place, ids, *first_at = entry
            kept = self.tasks[number]
            kept.first_token_at.setdefault(place, *(first_at or [at]))
            kept.tokens.setdefault(place, []).extend(map(int, ids))


def _end(number: int, place: int, completion: Completion) -> list[object]:
    return [
        "end",
        number,
        place,
        completion.finish_reason,
        completion.prompt_tokens,
        completion.submitted_at,
        completion.first_token_at,
        completion.finished_at,
    ]


def _framed(at: float, entries: Sequence[object]) -> bytes:
    body = json.dumps([at, entries], separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _unframed(line: bytes) -> tuple[float, list[list[Any]]]:
    checksum, body = int(line[:8], 16), line[9:]
    if zlib.crc32(body) != checksum:
        raise ValueError("a torn frame")
    at, entries = json.loads(body)
    return at, entries
