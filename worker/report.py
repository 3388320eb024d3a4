"""What the worker has done and is doing, read from its database by any process: status, tasks, why."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from protocol.digest import JsonValue, to_hex
from protocol.domain import UNIT_WEI
from worker import keystore
from worker.config import WorkerConfig
from worker.database import Database, Decided
from worker.errors import UnknownTask
from worker.live import read_live
from worker.lock import running_pid

_FAULTS = 5
_SHOWN_HELD = 12


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
    """Everything `quern worker status` shows. Money in units and wei; `at` is the snapshot's unix time."""

    address: str
    running: bool
    pid: int | None
    draining: bool
    at: float
    chain_id: int
    market: str
    block: int
    open_tasks: int
    held: tuple[TaskLine, ...]
    posted: tuple[TaskLine, ...]
    settled: int
    lost: int
    declined: int
    strategy: str | None
    strategy_why: str
    engine: str
    engine_restarts: int
    tokens_per_s: float
    output_tokens: int
    free_units: int
    locked_units: int
    earned_units: int
    burned_units: int
    gas_spent_wei: int
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
        counts = database.counts()
        return WorkerStatus(
            address=str(live.get("address") or keystore.address_of(config.keys.keystore)),
            running=pid is not None,
            pid=pid,
            draining=bool(live.get("draining")) and pid is not None,
            at=_float(live, "at"),
            chain_id=int(database.meta("identity_chain id") or 0),
            market=database.meta("identity_market") or "",
            block=_int(live, "block"),
            open_tasks=_int(live, "open_tasks"),
            held=_lines(live.get("held")),
            posted=_lines(live.get("posted")),
            settled=counts["settled"],
            lost=counts["lost"],
            declined=sum(database.declined_by_code().values()),
            strategy=cast("str | None", live.get("strategy")),
            strategy_why=str(live.get("strategy_why") or ""),
            engine=str(live.get("engine") or ""),
            engine_restarts=max(0, _int(live, "engine_starts") - 1),
            tokens_per_s=_float(live, "tokens_per_s"),
            output_tokens=_int(live, "output_tokens"),
            free_units=_int(live, "free_units"),
            locked_units=_int(live, "locked_units"),
            earned_units=counts["earned_units"],
            burned_units=counts["burned_units"],
            gas_spent_wei=database.gas_spent_wei(),
            faults=tuple(database.recent_faults(_FAULTS)),
        )


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


def render(found: WorkerStatus) -> RenderableType:
    """For a terminal, once or live."""
    state = "draining" if found.draining else "running" if found.running else "stopped"
    head = Text.assemble(
        (f"{found.address}  ", "bold"),
        (state, "green" if found.running else "yellow"),
        f"  block {found.block}  open {found.open_tasks}  snapshot {max(0.0, time.time() - found.at):.0f} s old",
    )
    money = Text(
        f"earned {_ether(found.earned_units)}  burned {_ether(found.burned_units)}  free {_ether(found.free_units)}"
        f"  bonded {_ether(found.locked_units)}  gas {found.gas_spent_wei / 1e18:.6f} ether"
    )
    engine = Text(
        f"{found.engine or 'no engine'}  strategy {found.strategy or 'none'}  {found.tokens_per_s:.1f} tokens/s"
        f"  restarts {found.engine_restarts}\n{found.strategy_why}"
    )
    work = Table("task", "state", "stage", "prompts", "tokens", box=None, pad_edge=False)
    for line in (*found.held, *found.posted)[:_SHOWN_HELD]:
        tokens = f"{line.tokens_done}/{line.max_output_tokens}"
        work.add_row("0x" + line.task_id.hex()[:12], line.state, line.stage, str(line.prompts), tokens)
    tally = Text(
        f"leased {len(found.held)}  posted {len(found.posted)}  settled {found.settled}  lost {found.lost}"
        f"  declined {found.declined}"
    )
    stuck = found.running and not found.free_units and not found.locked_units
    advice = (
        f"no deposit for a bond, so nothing can be claimed: quern money deposit AMOUNT --for {found.address}"
    )
    warning = [Text(advice, style="red")] if stuck else []
    faults = [Text(f"0x{item.task_id.hex()[:12]} {item.reason}", style="red") for item in found.faults]
    return Group(head, money, engine, tally, work, *warning, *faults)


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


def _ether(units: int) -> str:
    return f"{units * UNIT_WEI / 1e18:.6f}"
