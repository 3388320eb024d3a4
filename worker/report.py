"""What the worker has done and is doing, read from its database by any process: status, tasks, why."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from chain import deployment as deployments
from protocol.currency import ETHER, Currency
from protocol.digest import JsonValue, to_hex
from protocol.errors import QuernError
from worker import keystore
from worker.champion import Champion, Retrained
from worker.config import WorkerConfig
from worker.database import Database, Decided
from worker.errors import UnknownTask
from worker.live import read_live
from worker.lock import running_pid
from worker.trouble import Trouble

_FAULTS = 5


class State(StrEnum):
    """What a worker's process does; `KILLED` is a worker that ended without saying so."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in progress. `until` is the end of its lease or of its challenge window, unix seconds."""

    task_id: bytes
    state: str
    stage: str
    prompts: int
    tokens_done: int
    max_output_tokens: int
    until: int


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Everything `quern worker status` shows. Money in units and wei; `at` is the snapshot's unix time. `meta_model` is
    the digest of the one that chooses, `retrained` what the latest retraining came to.

    `posted` are the results that can be called for, until `owed_until` at most. `chain_silent_secs` is how long the
    chain had not answered when the snapshot was taken. What an engine does is empty where no worker runs.
    """

    address: str
    state: State
    running: bool
    pid: int | None
    draining: bool
    at: float
    chain_id: int
    market: str
    block: int
    chain_silent_secs: float
    open_tasks: int
    oldest_open_secs: int
    held_tasks: int
    posted_tasks: int
    held: tuple[TaskLine, ...]
    posted: tuple[TaskLine, ...]
    owed_until: int
    least_lease_secs: int
    transactions: int
    reorganisations: int
    settled: int
    lost: int
    declined: int
    strategy: str | None
    strategy_why: str
    engine: str
    starting: str
    running_tasks: int
    engine_restarts: int
    engine_failures: int
    regret_secs: float
    tokens_per_s: float
    output_tokens: int
    free_units: int
    locked_units: int
    earned_units: int
    burned_units: int
    gas_spent_wei: int
    currency: Currency
    meta_model: str
    retrained: Retrained | None
    faults: tuple[Decided, ...]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task this worker claimed at some time. Chain times in unix seconds, the engine's in milliseconds."""

    task_id: bytes
    state: str
    submitted_block: int
    submitted_at: int
    claimed_block: int
    claimed_at: int
    posted_block: int
    posted_at: int
    ended_at: int
    paid_units: int
    refunded_units: int
    burned_units: int
    prompts: int
    prompt_tokens: int
    output_tokens: int
    strategy: str
    why: str
    started_ms: int
    finished_ms: int

    @property
    def tokens_per_s(self) -> float:
        """Output tokens over the time the engine had the task."""
        return self.output_tokens * 1000 / max(1, self.finished_ms - self.started_ms)


def status(config: WorkerConfig) -> WorkerStatus:
    """The state of the worker of this configuration, running or not."""
    pid = running_pid(config.state_dir)
    with _opened(config) as database:
        live: Mapping[str, JsonValue] = read_live(database) or {}
        state = _state(live, pid)
        # A snapshot outlives the engine it tells of.
        engine = live if state in (State.RUNNING, State.DRAINING) else {}
        counts = database.counts()
        return WorkerStatus(
            address=str(live.get("address") or keystore.address_of(config.keys.keystore)),
            state=state,
            running=pid is not None,
            pid=pid,
            draining=state is State.DRAINING,
            at=_float(live, "at"),
            chain_id=int(database.meta("identity_chain id") or 0),
            market=database.meta("identity_market") or "",
            block=_int(live, "block"),
            chain_silent_secs=_float(live, "chain_silent_secs"),
            open_tasks=_int(live, "open_tasks"),
            oldest_open_secs=_int(live, "oldest_open_secs"),
            held_tasks=_int(live, "held_tasks"),
            posted_tasks=_int(live, "posted_tasks"),
            held=_lines(live.get("held")),
            posted=_lines(live.get("posted")),
            owed_until=_int(live, "owed_until"),
            least_lease_secs=_int(live, "least_lease_secs"),
            transactions=_int(live, "transactions"),
            reorganisations=_int(live, "reorganisations"),
            settled=counts["settled"],
            lost=counts["lost"],
            declined=sum(database.declined_by_code().values()),
            strategy=cast("str | None", engine.get("strategy")),
            strategy_why=str(engine.get("strategy_why") or ""),
            engine=str(engine.get("engine") or ""),
            starting=str(engine.get("starting") or ""),
            running_tasks=_int(engine, "running_tasks"),
            engine_restarts=max(0, _int(engine, "engine_starts") - 1),
            engine_failures=_int(engine, "engine_failures"),
            regret_secs=_float(engine, "regret_secs"),
            tokens_per_s=_float(engine, "tokens_per_s"),
            output_tokens=_int(engine, "output_tokens"),
            free_units=_int(live, "free_units"),
            locked_units=_int(live, "locked_units"),
            earned_units=counts["earned_units"],
            burned_units=counts["burned_units"],
            gas_spent_wei=database.gas_spent_wei(),
            currency=_currency(config),
            meta_model=str(live.get("meta_model") or ""),
            retrained=Champion(config).latest(),
            faults=tuple(database.recent_faults(_FAULTS)),
        )


def _state(live: Mapping[str, JsonValue], pid: int | None) -> State:
    if pid is None:
        return State.KILLED if live.get("running") else State.STOPPED
    if live.get("pid") != pid or not live.get("running"):
        return State.STARTING
    return State.DRAINING if live.get("draining") else State.RUNNING


def tasks(config: WorkerConfig) -> tuple[TaskRecord, ...]:
    """Every task this worker ever claimed and still remembers, by block of its claim."""
    with _opened(config) as database:
        records = []
        for task in database.my_tasks():
            run = database.result_summary(task.id) or {}
            records.append(
                TaskRecord(
                    task_id=task.id,
                    state=task.state.name.lower(),
                    submitted_block=task.submitted_block,
                    submitted_at=task.submitted_at,
                    claimed_block=task.claimed_block,
                    claimed_at=task.claimed_at,
                    posted_block=task.posted_block,
                    posted_at=task.posted_at,
                    ended_at=task.ended_at,
                    paid_units=task.paid_units,
                    refunded_units=task.refunded_units,
                    burned_units=task.burned_units,
                    prompts=_int(run, "prompts"),
                    prompt_tokens=_int(run, "prompt_tokens"),
                    output_tokens=_int(run, "output_tokens"),
                    strategy=str(run.get("strategy") or ""),
                    why=str(run.get("why") or ""),
                    started_ms=_int(run, "started_ms"),
                    finished_ms=_int(run, "finished_ms"),
                )
            )
        return tuple(records)


def why(config: WorkerConfig, task_id: bytes) -> tuple[Decided, ...]:
    """Every decision about a task, oldest first. Raises UnknownTask."""
    with _opened(config) as database:
        decisions = tuple(database.decisions(task_id))
        if not decisions and database.task(task_id) is None:
            raise UnknownTask(to_hex(task_id))
        return decisions


def troubles(config: WorkerConfig) -> tuple[Trouble, ...]:
    """Every failure of an engine that the worker remembers, oldest first."""
    with _opened(config) as database:
        return tuple(database.troubles())


def standing(config: WorkerConfig, task_id: bytes) -> str:
    """Where a task is that nothing was decided about. Raises UnknownTask."""
    with _opened(config) as database:
        task = database.task(task_id)
        if task is None:
            raise UnknownTask(to_hex(task_id))
        holder = f" by {task.holder}" if task.holder else ""
        return f"nothing was decided about it yet: the task is {task.state.name.lower()}{holder}"


def known_tasks(config: WorkerConfig) -> tuple[bytes, ...]:
    """Ids of every task this worker remembers, also of those it declined."""
    with _opened(config) as database:
        return database.known_tasks()


@contextmanager
def _opened(config: WorkerConfig) -> Iterator[Database]:
    database = Database(config.database, read_only=True)
    try:
        yield database
    finally:
        database.close()


def _lines(value: JsonValue) -> tuple[TaskLine, ...]:
    rows = cast("list[dict[str, JsonValue]]", value or [])
    return tuple(
        TaskLine(
            task_id=bytes.fromhex(str(row["task_id"])),
            state=str(row["state"]),
            stage=str(row["stage"]),
            prompts=_int(row, "prompts"),
            tokens_done=_int(row, "tokens_done"),
            max_output_tokens=_int(row, "max_output_tokens"),
            until=_int(row, "until"),
        )
        for row in rows
    )


def _int(values: Mapping[str, JsonValue], name: str) -> int:
    value = values.get(name)
    return int(value) if isinstance(value, int | float) else 0


def _float(values: Mapping[str, JsonValue], name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _currency(config: WorkerConfig) -> Currency:
    """Of the market; ether where its deployment file is away, for what a worker did can be read without it."""
    try:
        return deployments.load(config.chain.deployment).currency
    except QuernError:
        return ETHER
