"""The worker's SQLite file: a cache of chain and store, and the durable record of what was decided and sent.

One writer connection, guarded by one lock; every `transaction` ends with one fsync, so callers group what belongs
together. Readers of other processes (`status`, `why`) open the file read-only.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from chain.follower import Cursor
from protocol.digest import DIGEST_BYTES, JsonValue
from protocol.lifecycle import TaskState
from protocol.request import MEMBERS, Request
from worker.artefacts import Call
from worker.codes import Reason
from worker.errors import AnotherChain, BadStateFile
from worker.view import Task

# Columns have the types that the schema gives them.
_Row: TypeAlias = tuple[Any, ...]
SCHEMA_VERSION = 2
_TRAIL_BLOCKS = 256
_REQUEST_FIELDS = tuple(field for _, _, field in MEMBERS)
_TASK_FIELDS = (
    "priced_at",
    "tip_units",
    "submitted_block",
    "submitted_at",
    "state",
    "holder",
    "until",
    "output_tokens",
    "root",
    "claimed_block",
    "claimed_at",
    "posted_block",
    "posted_at",
    "ended_at",
    "paid_units",
    "refunded_units",
    "burned_units",
    "mine",
    "held_before",
)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}');
CREATE TABLE IF NOT EXISTS trail (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS task (
    id BLOB PRIMARY KEY, {", ".join(f"request_{field}" for field in _REQUEST_FIELDS)}, {", ".join(_TASK_FIELDS)}
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_state ON task (state);
CREATE INDEX IF NOT EXISTS task_mine ON task (mine) WHERE mine;
CREATE TABLE IF NOT EXISTS declined (task_id BLOB PRIMARY KEY, code TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (task_id BLOB PRIMARY KEY, failures INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decision (
    task_id BLOB NOT NULL, at REAL NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decision_task ON decision (task_id);
CREATE TABLE IF NOT EXISTS result (
    task_id BLOB PRIMARY KEY, body BLOB NOT NULL, output_tokens INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    prompts INTEGER NOT NULL, strategy TEXT NOT NULL, why TEXT NOT NULL, started_ms INTEGER NOT NULL,
    finished_ms INTEGER NOT NULL, output BLOB, receipt BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sending (
    key TEXT PRIMARY KEY, call TEXT NOT NULL, tasks BLOB NOT NULL, open INTEGER NOT NULL, gas_wei INTEGER NOT NULL,
    request INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sending_open ON sending (open) WHERE open;
CREATE TABLE IF NOT EXISTS intent (
    sequence INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, live INTEGER NOT NULL, document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS intent_live ON intent (sequence) WHERE live;
CREATE TABLE IF NOT EXISTS request (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, argument TEXT NOT NULL, answer TEXT
);
"""  # noqa: S608 only our own names go in


@dataclass(frozen=True, slots=True)
class Result:
    """What the engine made of a task, as it will be posted. `output` and `receipt` are the stored files' bytes."""

    task_id: bytes
    body: bytes
    output_tokens: int
    prompt_tokens: int
    prompts: int
    strategy: str
    why: str
    started_ms: int
    finished_ms: int
    output: bytes
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Decided:
    """One line of `why`; `at` is in unix seconds."""

    task_id: bytes
    at: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Sending:
    """A transaction under way, the tasks it is for, and the number of the request it answers, if any."""

    key: str
    call: Call
    task_ids: tuple[bytes, ...]
    request: int | None = None


class Database:
    """Opens or creates the file; read-only, a file that is not there reads as empty. Raises BadStateFile."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._connection = self._open(path, read_only=read_only)
            version = self.meta("schema_version")
        except sqlite3.DatabaseError as error:
            raise BadStateFile(str(path), str(error)) from error
        if version != str(SCHEMA_VERSION):
            raise BadStateFile(str(path), f"schema {version}, this program writes {SCHEMA_VERSION}")

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
        connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        return connection

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable together or not at all. Nested uses join the outermost."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def meta(self, name: str) -> str | None:
        row = self._one("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def bind(self, identity: dict[str, str]) -> None:
        """Tie the file to one chain, market and key, the first time; later differences raise AnotherChain."""
        with self.transaction():
            for field, found in identity.items():
                recorded = self.meta(f"identity_{field}")
                if recorded is None:
                    self.set_meta(f"identity_{field}", found)
                elif recorded != found:
                    raise AnotherChain(field, found, recorded)

    def trail(self) -> list[Cursor]:
        """The latest blocks taken in, newest first: enough to find where a reorganised chain parted."""
        rows = self._all("SELECT number, hash FROM trail ORDER BY number DESC", ())
        return [Cursor(row[0], row[1]) for row in rows]

    def block_taken_in(self) -> int:
        """Number of the newest; -1 at the very beginning."""
        row = self._one("SELECT COALESCE(MAX(number), -1) FROM trail", ())
        assert row is not None
        return int(row[0])

    def set_cursor(self, cursor: Cursor) -> None:
        self._run("INSERT OR REPLACE INTO trail VALUES (?, ?)", (cursor.number, cursor.hash))
        self._run("DELETE FROM trail WHERE number < ?", (cursor.number - _TRAIL_BLOCKS,))

    def save_tasks(self, tasks: Sequence[Task]) -> None:
        marks = ", ".join("?" * (1 + len(_REQUEST_FIELDS) + len(_TASK_FIELDS)))
        self._run_many(f"INSERT OR REPLACE INTO task VALUES ({marks})", map(_task_row, tasks))  # noqa: S608

    def live_tasks(self) -> list[Task]:
        """Every task that has not ended."""
        ended = (int(TaskState.SETTLED), int(TaskState.REFUNDED))
        return [_read_task(row) for row in self._all("SELECT * FROM task WHERE state NOT IN (?, ?)", ended)]

    def task(self, task_id: bytes) -> Task | None:
        row = self._one("SELECT * FROM task WHERE id = ?", (task_id,))
        return None if row is None else _read_task(row)

    def my_tasks(self) -> list[Task]:
        """Every task this worker ever claimed, by block."""
        return [
            _read_task(row) for row in self._all("SELECT * FROM task WHERE mine ORDER BY claimed_block", ())
        ]

    def forget_chain(self) -> None:
        """Drop everything derived from events, to be replayed from the market's first block."""
        with self.transaction():
            self._run("DELETE FROM task", ())
            self._run("DELETE FROM trail", ())

    def forget_ended_before(self, chain_secs: int) -> int:
        """Drop what is known of tasks that ended before then; returns how many."""
        old = "SELECT id FROM task WHERE ended_at > 0 AND ended_at < ?"
        with self.transaction():
            for table in ("declined", "attempt", "decision", "result"):
                self._run(f"DELETE FROM {table} WHERE task_id IN ({old})", (chain_secs,))  # noqa: S608 our own words
            return self._run("DELETE FROM task WHERE ended_at > 0 AND ended_at < ?", (chain_secs,))

    def decline(self, declined: Iterable[tuple[bytes, Reason]]) -> None:
        rows = [(task_id, reason.code, reason.text) for task_id, reason in declined]
        self._run_many("INSERT OR REPLACE INTO declined VALUES (?, ?, ?)", rows)

    def declined(self) -> dict[bytes, Reason]:
        return {row[0]: Reason(row[1], row[2]) for row in self._all("SELECT * FROM declined", ())}

    def count_failures(self, task_ids: Iterable[bytes]) -> None:
        self._run_many(
            "INSERT INTO attempt VALUES (?, 1) ON CONFLICT (task_id) DO UPDATE SET failures = failures + 1",
            [(task_id,) for task_id in task_ids],
        )

    def declined_by_code(self) -> dict[str, int]:
        return dict(self._all("SELECT code, COUNT(*) FROM declined GROUP BY code", ()))

    def failures(self) -> dict[bytes, int]:
        return dict(self._all("SELECT * FROM attempt", ()))

    def note(self, decided: Iterable[Decided]) -> None:
        """Remember decisions for `why`."""
        rows = [(item.task_id, item.at, item.reason.code, item.reason.text) for item in decided]
        self._run_many("INSERT INTO decision VALUES (?, ?, ?, ?)", rows)

    def decisions(self, task_id: bytes) -> list[Decided]:
        rows = self._all("SELECT at, code, text FROM decision WHERE task_id = ? ORDER BY rowid", (task_id,))
        return [Decided(task_id, row[0], Reason(row[1], row[2])) for row in rows]

    def counts(self) -> dict[str, int]:
        """Of this worker's tasks: settled and lost ones; and the units earned and burned."""
        row = self._one(
            "SELECT COALESCE(SUM(state = ? AND NOT held_before), 0), COALESCE(SUM(held_before), 0),"
            " COALESCE(SUM(CASE WHEN state = ? AND holder = ? THEN paid_units ELSE 0 END), 0),"
            " COALESCE(SUM(burned_units), 0) FROM task WHERE mine",
            (int(TaskState.SETTLED), int(TaskState.SETTLED), self.meta("identity_key")),
        )
        assert row is not None
        names = ("settled", "lost", "earned_units", "burned_units")
        return {name: int(value) for name, value in zip(names, row, strict=True)}

    def recent_faults(self, limit: int) -> list[Decided]:
        """The latest decisions that cost something: lost and given back tasks, engine failures, refused posts."""
        rows = self._all(
            "SELECT task_id, at, code, text FROM decision WHERE code GLOB 'LOST-*' OR code GLOB 'RELEASE-*'"
            " OR code IN ('RUN-003', 'POST-003') ORDER BY rowid DESC LIMIT ?",
            (limit,),
        )
        return [Decided(row[0], row[1], Reason(row[2], row[3])) for row in rows]

    def save_results(self, results: Sequence[Result]) -> None:
        rows = [tuple(getattr(result, name) for name in Result.__slots__) for result in results]
        marks = ", ".join("?" * len(Result.__slots__))
        self._run_many(f"INSERT OR REPLACE INTO result VALUES ({marks})", rows)  # noqa: S608 only question marks

    def results(self, task_ids: Sequence[bytes]) -> dict[bytes, Result]:
        """Those that exist and still hold their bytes."""
        found = {}
        for task_id in task_ids:
            row = self._one("SELECT * FROM result WHERE task_id = ? AND output IS NOT NULL", (task_id,))
            if row is not None:
                found[task_id] = Result(*row)
        return found

    def result_summary(self, task_id: bytes) -> dict[str, JsonValue] | None:
        row = self._one(
            "SELECT strategy, why, prompts, prompt_tokens, output_tokens, started_ms, finished_ms FROM result"
            " WHERE task_id = ?",
            (task_id,),
        )
        names = ("strategy", "why", "prompts", "prompt_tokens", "output_tokens", "started_ms", "finished_ms")
        return None if row is None else dict(zip(names, row, strict=True))

    def drop_result_bytes(self) -> int:
        """Outputs of ended tasks live in the store; their copies here may go."""
        return self._run(
            "UPDATE result SET output = NULL, receipt = NULL WHERE output IS NOT NULL AND task_id IN"
            " (SELECT id FROM task WHERE ended_at > 0)",
            (),
        )

    def open_sending(self, sending: Sending) -> None:
        """Remember which tasks a transaction is for, in the same `transaction` as its plan."""
        row = (sending.key, sending.call.value, b"".join(sending.task_ids), sending.request)
        self._run("INSERT INTO sending VALUES (?, ?, ?, 1, 0, ?)", row)

    def intent(self, key: str) -> str | None:
        row = self._one("SELECT document FROM intent WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def save_intent(self, key: str, document: str, *, live: bool) -> None:
        self._run(
            "INSERT INTO intent (key, live, document) VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET live = excluded.live, document = excluded.document",
            (key, live, document),
        )

    def live_intents(self) -> list[str]:
        """Documents of what has not ended, oldest first."""
        return [row[0] for row in self._all("SELECT document FROM intent WHERE live ORDER BY sequence", ())]

    def close_sending(self, key: str, gas_wei: int) -> None:
        self._run("UPDATE sending SET open = 0, gas_wei = ? WHERE key = ?", (gas_wei, key))

    def sendings(self) -> list[Sending]:
        """Those whose outcome has not been taken in."""
        rows = self._all("SELECT key, call, tasks, request FROM sending WHERE open", ())
        return [Sending(row[0], Call(row[1]), _split_ids(row[2]), row[3]) for row in rows]

    def gas_spent_wei(self) -> int:
        row = self._one("SELECT COALESCE(SUM(gas_wei / 1000000000), 0) FROM sending", ())
        assert row is not None
        return int(row[0]) * 1_000_000_000

    def ask(self, kind: str, argument: str) -> int:
        """Leave a request for the running worker; returns its number."""
        with self.transaction():
            self._run("INSERT INTO request (kind, argument) VALUES (?, ?)", (kind, argument))
            row = self._one("SELECT last_insert_rowid()", ())
        assert row is not None
        return int(row[0])

    def open_requests(self) -> list[tuple[int, str, str]]:
        """(number, kind, argument) of requests without an answer or a transaction of their own."""
        return self._all(
            "SELECT id, kind, argument FROM request WHERE answer IS NULL"
            " AND id NOT IN (SELECT request FROM sending WHERE request IS NOT NULL) ORDER BY id",
            (),
        )

    def answer(self, number: int, answer: dict[str, JsonValue]) -> None:
        self._run("UPDATE request SET answer = ? WHERE id = ?", (json.dumps(answer), number))

    def answer_to(self, number: int) -> dict[str, JsonValue] | None:
        row = self._one("SELECT answer FROM request WHERE id = ?", (number,))
        if row is None or row[0] is None:
            return None
        answer: dict[str, JsonValue] = json.loads(row[0])
        return answer

    def _run(self, sql: str, values: Sequence[object]) -> int:
        with self._lock:
            return self._connection.execute(sql, values).rowcount

    def _run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._lock:
            self._connection.executemany(sql, rows)

    def _one(self, sql: str, values: Sequence[object]) -> _Row | None:
        with self._lock:
            row: _Row | None = self._connection.execute(sql, values).fetchone()
            return row

    def _all(self, sql: str, values: Sequence[object]) -> list[_Row]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()


def _split_ids(joined: bytes) -> tuple[bytes, ...]:
    return tuple(joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES))


def _task_row(task: Task) -> tuple[object, ...]:
    request = {field: getattr(task.request, field) for field in _REQUEST_FIELDS}
    # A requester may put any bytes on chain, and SQLite takes no text that is not UTF-8.
    request["input_uri"] = task.request.input_uri.encode("utf-8", "surrogateescape")
    return (
        task.id,
        *request.values(),
        *(getattr(task, field) for field in _TASK_FIELDS),
    )


def _read_task(row: Sequence[object]) -> Task:
    split = 1 + len(_REQUEST_FIELDS)
    fields: dict[str, Any] = dict(zip(_REQUEST_FIELDS, row[1:split], strict=True))
    fields["input_uri"] = fields["input_uri"].decode("utf-8", "surrogateescape")
    task = Task(row[0], Request(**fields), 0, 0, 0, 0)  # type: ignore[arg-type]
    for field, value in zip(_TASK_FIELDS, row[split:], strict=True):
        setattr(task, field, value)
    task.state = TaskState(task.state)
    task.mine, task.held_before = bool(task.mine), bool(task.held_before)
    return task
