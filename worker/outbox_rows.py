"""Transactions, their signed bytes, and what other processes asked for, as rows."""

import json
import time
from dataclasses import dataclass

from protocol.digest import DIGEST_BYTES, JsonValue
from worker.artefacts import Call
from worker.sqlite import SqliteFile
from worker.steps import Step

_CALLS = {call.value: call for call in Call}


@dataclass(frozen=True, slots=True)
class Sending:
    """A transaction under way, its tasks, and what it answers: a request by its number, or the demand of a leaf."""

    key: str
    call: Call
    task_ids: tuple[bytes, ...]
    request: int | None = None
    leaf: int | None = None


def key_of(call: Call, serial: int) -> str:
    """A new name for a transaction, which tells what it is for."""
    return f"{call.value}-{time.time_ns()}-{serial}"


def call_of(key: str) -> Call | None:
    """What `key_of` named; None for a transaction that no task or operator asked for."""
    return _CALLS.get(key.rsplit("-", 2)[0])


class OutboxRows(SqliteFile):
    """What must outlive a crash for no transaction to be lost or sent twice."""

    def open_sending(self, sending: Sending) -> None:
        """Remember which tasks a transaction is for, in the same `transaction` as its plan."""
        ids = b"".join(sending.task_ids)
        row = (sending.key, sending.call.value, ids, sending.request, sending.leaf)
        self._run("INSERT INTO sending VALUES (?, ?, ?, 1, 0, ?, ?)", row)

    def close_sending(self, key: str, gas_wei: int) -> None:
        self._run("UPDATE sending SET open = 0, gas_wei = ? WHERE key = ?", (gas_wei, key))

    def sendings(self) -> list[Sending]:
        """Those whose outcome has not been taken in."""
        rows = self._all("SELECT key, call, tasks, request, leaf FROM sending WHERE open", ())
        return [Sending(row[0], Call(row[1]), _split_ids(row[2]), row[3], row[4]) for row in rows]

    def gas_spent_wei(self) -> int:
        row = self._one("SELECT COALESCE(SUM(gas_wei / 1000000000), 0) FROM sending", ())
        assert row is not None
        return int(row[0]) * 1_000_000_000

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

    def ask(self, kind: str, argument: str) -> int:
        """Leave a request for the running worker; returns its number."""
        with self.transaction(Step.ASK):
            self._run("INSERT INTO request (kind, argument) VALUES (?, ?)", (kind, argument))
            row = self._one("SELECT last_insert_rowid()", ())
        assert row is not None
        return int(row[0])

    def request(self, number: int) -> str:
        """Its argument."""
        row = self._one("SELECT argument FROM request WHERE id = ?", (number,))
        return "" if row is None else str(row[0])

    def set_request(self, number: int, argument: str) -> None:
        self._run("UPDATE request SET argument = ? WHERE id = ?", (argument, number))

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


def _split_ids(joined: bytes) -> tuple[bytes, ...]:
    return tuple(joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES))
