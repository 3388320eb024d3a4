"""The worker's SQLite file: a cache of chain and store, and the durable record of what was decided and sent.

One writer connection, guarded by one lock; every `transaction` ends with one fsync, so callers group what belongs
together. Readers of other processes (`status`, `why`) open the file read-only.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chain.deployment import Deployment
from protocol.digest import JsonValue, to_hex
from protocol.lifecycle import TaskState
from worker.chain_rows import ChainRows
from worker.codes import Reason
from worker.errors import AnotherChain, BadStateFile
from worker.outbox_rows import OutboxRows
from worker.schema import SCHEMA_VERSION
from worker.steps import Step
from worker.trouble import Trouble

# SQLite's own limit of values in a statement is higher in every version.
_ASKED_TOGETHER = 500


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


def identity_of(deployment: Deployment, address: str) -> dict[str, str]:
    """What a worker's database belongs to."""
    return {
        "chain id": str(deployment.chain_id),
        "genesis hash": to_hex(deployment.genesis_hash),
        "market": deployment.market,
        "key": address,
    }


class Database(ChainRows, OutboxRows):
    """Opens or creates the file; read-only, a file that is not there reads as empty. Raises BadStateFile."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._folder = path.parent
        try:
            super().__init__(path, read_only=read_only)
            version = self.meta("schema_version")
        except sqlite3.DatabaseError as error:
            raise BadStateFile(str(path), str(error)) from error
        if version != str(SCHEMA_VERSION):
            raise BadStateFile(str(path), f"schema {version}, this program writes {SCHEMA_VERSION}")

    def meta(self, name: str) -> str | None:
        row = self._one("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def require(self, identity: Mapping[str, str]) -> None:
        """Raises AnotherChain where the file is tied to another chain, market or key."""
        for field, found in identity.items():
            recorded = self.meta(f"identity_{field}")
            if recorded not in (None, found):
                raise AnotherChain(str(self._folder), field, found, str(recorded))

    def bind(self, identity: Mapping[str, str]) -> None:
        """Tie the file to one chain, market and key, the first time. Raises AnotherChain."""
        with self.transaction(Step.BIND):
            self.require(identity)
            for field, found in identity.items():
                self.set_meta(f"identity_{field}", found)

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

    def save_trouble(self, each: Trouble) -> None:
        values = tuple(getattr(each, name) for name in Trouble.__slots__)
        self._run("INSERT INTO trouble VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def forgive_troubles(self, model_id: bytes, strategy: str, tokens: int) -> None:
        """Those of a strategy that happened with so many tokens at most."""
        self._run(
            "UPDATE trouble SET forgiven = 1 WHERE model_id = ? AND strategy = ? AND tokens <= ?",
            (model_id, strategy, tokens),
        )

    def troubles(self) -> list[Trouble]:
        """Every failure of an engine, oldest first, the forgiven ones too."""
        rows = self._all("SELECT * FROM trouble ORDER BY rowid", ())
        return [Trouble(*row) for row in rows]

    def note(self, decided: Iterable[Decided]) -> None:
        """Remember decisions for `why`."""
        rows = [(item.task_id, item.at, item.reason.code, item.reason.text) for item in decided]
        self._run_many("INSERT INTO decision VALUES (?, ?, ?, ?)", rows)

    def decisions(self, task_id: bytes) -> list[Decided]:
        rows = self._all("SELECT at, code, text FROM decision WHERE task_id = ? ORDER BY rowid", (task_id,))
        return [Decided(task_id, row[0], Reason(row[1], row[2])) for row in rows]

    def settled(self, most: int) -> list[bytes]:
        """Tasks this worker was paid for unchallenged, the latest first."""
        rows = self._all(
            "SELECT id FROM task WHERE mine AND NOT held_before AND state = ?"
            " AND id NOT IN (SELECT task_id FROM decision WHERE code = 'DISPUTE-001')"
            " ORDER BY ended_at DESC, id LIMIT ?",
            (int(TaskState.SETTLED), most),
        )
        return [row[0] for row in rows]

    def counts(self) -> dict[str, int]:
        """Of this worker's tasks: settled and lost ones; and the units earned and burned."""
        row = self._one(
            "SELECT COALESCE(SUM(state = ? AND NOT held_before), 0), COALESCE(SUM(held_before), 0),"
            " COALESCE(SUM(earned_units), 0), COALESCE(SUM(burned_units), 0) FROM task WHERE mine",
            (int(TaskState.SETTLED),),
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

    def forget_ended_before(self, chain_secs: int) -> int:
        """Drop what is known of tasks that ended before then; returns how many."""
        old = "SELECT id FROM task WHERE ended_at > 0 AND ended_at < ?"
        with self.transaction(Step.FORGET):
            for table in ("declined", "attempt", "decision", "result"):
                self._run(f"DELETE FROM {table} WHERE task_id IN ({old})", (chain_secs,))  # noqa: S608 our own words
            return self._run("DELETE FROM task WHERE ended_at > 0 AND ended_at < ?", (chain_secs,))

    def save_results(self, results: Sequence[Result]) -> None:
        rows = [tuple(getattr(result, name) for name in Result.__slots__) for result in results]
        marks = ", ".join("?" * len(Result.__slots__))
        self._run_many(f"INSERT OR REPLACE INTO result VALUES ({marks})", rows)  # noqa: S608 only question marks

    def results(self, task_ids: Sequence[bytes]) -> dict[bytes, Result]:
        """Those that exist and still hold their bytes."""
        found: dict[bytes, Result] = {}
        for start in range(0, len(task_ids), _ASKED_TOGETHER):
            part = task_ids[start : start + _ASKED_TOGETHER]
            marks = ", ".join("?" * len(part))
            asked = f"SELECT * FROM result WHERE output IS NOT NULL AND task_id IN ({marks})"  # noqa: S608 only marks
            found |= {row[0]: Result(*row) for row in self._all(asked, part)}
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
        """Outputs of ended tasks live in the store; their copies here may go once no reorganisation can open them."""
        with self.transaction(Step.FORGET):
            return self._run(
                "UPDATE result SET output = NULL, receipt = NULL WHERE output IS NOT NULL AND task_id IN"
                " (SELECT id FROM task WHERE ended_at > 0) AND task_id NOT IN (SELECT task_id FROM undo)",
                (),
            )
