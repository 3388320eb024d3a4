"""An SQLite file with one writer, whose groups of changes are durable together."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from worker import steps
from worker.artefacts import Call
from worker.schema import SCHEMA
from worker.steps import Moment, Step

# Of pages in memory. SQLite's own 2 MiB hold no more than some thousand tasks, and each event touches one at random.
_CACHE_KIB = 64 << 10
# Columns have the types that the schema gives them.
Row: TypeAlias = tuple[Any, ...]


class SqliteFile:
    """Opens or creates the file; read-only, a file that is not there reads as empty. Raises sqlite3.DatabaseError."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._inside: list[tuple[Step, Call | None]] = []
        # How often something begun was taken back: what was remembered of it besides is wrong.
        self.rollbacks = 0
        self._connection = self._open(path, read_only=read_only)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self, step: Step, call: Call | None = None) -> Iterator[None]:
        """Everything inside is durable together or not at all. Nested uses join the outermost."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            self._inside.append((step, call))
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._inside.clear()
                    self.rollbacks += 1
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._commit()

    def _commit(self) -> None:
        done, self._inside = self._inside, []
        for step, call in done:
            steps.reached(Moment.BEFORE, step, call)
        self._connection.execute("COMMIT")
        for step, call in done:
            steps.reached(Moment.AFTER, step, call)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Inside, no other thread has a transaction half done."""
        with self._lock:
            yield

    def _open(self, path: Path, *, read_only: bool) -> sqlite3.Connection:
        if read_only and path.exists():
            connection = sqlite3.connect(
                f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=30
            )
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                return connection
            # Its worker is just making it.
            connection.close()
        place = ":memory:" if read_only else path
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(place, check_same_thread=False, isolation_level=None, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        return connection

    def _run(self, sql: str, values: Sequence[object]) -> int:
        with self._lock:
            assert self._depth, "what is written belongs to a step"
            return self._connection.execute(sql, values).rowcount

    def _run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._lock:
            assert self._depth, "what is written belongs to a step"
            self._connection.executemany(sql, rows)

    def _one(self, sql: str, values: Sequence[object]) -> Row | None:
        with self._lock:
            row: Row | None = self._connection.execute(sql, values).fetchone()
            return row

    def _all(self, sql: str, values: Sequence[object]) -> list[Row]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()
