"""The running worker's snapshot: written to the database once a second, read by `status` and served as metrics."""

import json
import threading
import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from chain.rpc import Block
from protocol.digest import JsonValue
from worker.artefacts import NOTHING_YET, Artefact, Stage
from worker.database import Database
from worker.engines import EngineStatus
from worker.view import Task, View

_SHOWN_TASKS = 100
_LIVE = "live"


class Snapshot:
    """Collects, keeps and publishes the worker's state."""

    def __init__(self, database: Database, address: str) -> None:
        self._database = database
        self._address = address
        self._written_at = 0.0
        self.registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(f"quern_worker_{name}", text, registry=self.registry)
            for name, text in (
                ("open_tasks", "tasks that could be claimed"),
                ("held_tasks", "tasks leased by this worker"),
                ("posted_tasks", "tasks posted and not yet settled"),
                ("least_lease_secs", "seconds to the nearest lease end; 0 without leases"),
                ("oldest_open_secs", "age of the oldest open task in seconds"),
                ("transactions_under_way", "transactions whose outcome is not known yet"),
                ("tokens_per_second", "output tokens a second over the last ten seconds"),
                ("output_tokens", "output tokens since the start"),
                ("engine_starts", "engine starts since the start of the worker"),
                ("engine_failures", "engine crashes, hangs and failed starts"),
                ("free_units", "free balance in units"),
                ("locked_units", "bonds in units"),
                ("gas_spent_wei", "gas paid so far"),
                ("block", "latest block seen"),
            )
        }
        self._strategy = Gauge("quern_worker_strategy", "strategy in use", ["name"], registry=self.registry)
        self._declined = Gauge(
            "quern_worker_declined", "tasks declined, by code", ["code"], registry=self.registry
        )

    @property
    def age_secs(self) -> float:
        """How long ago the last snapshot was taken."""
        return time.monotonic() - self._written_at

    def write(
        self,
        *,
        view: View,
        artefacts: Mapping[bytes, Artefact],
        engine: EngineStatus,
        head: Block | None,
        draining: bool,
        running: bool,
        lock: threading.RLock,
    ) -> None:
        with lock:
            held, posted = list(view.held()), list(view.posted())
            sending = len(
                {artefact.under_way for artefact in artefacts.values() if artefact.under_way is not None}
            )
            now_chain = head.timestamp if head is not None else 0
            oldest = min((task.submitted_at for task in view.claimable()), default=now_chain)
            live: dict[str, JsonValue] = {
                "address": self._address,
                "at": time.time(),
                "running": running,
                "draining": draining,
                "block": head.number if head is not None else 0,
                "open_tasks": view.open_count(),
                "held_tasks": len(held),
                "posted_tasks": len(posted),
                "held": [_line(task, artefacts, engine) for task in held[:_SHOWN_TASKS]],
                "posted": [_line(task, artefacts, engine) for task in posted[:_SHOWN_TASKS]],
                "strategy": engine.strategy,
                "strategy_why": engine.why,
                "engine": engine.engine,
                "engine_starts": engine.starts,
                "engine_failures": engine.failures,
                "tokens_per_s": engine.tokens_per_s,
                "output_tokens": engine.output_tokens,
                "free_units": view.free_units,
                "locked_units": view.locked_units,
            }
            with self._database.transaction():
                self._database.set_meta(_LIVE, json.dumps(live))
            self._written_at = time.monotonic()
        self._set(live, least_lease=min((task.until - now_chain for task in held), default=0))
        self._gauges["oldest_open_secs"].set(max(0, now_chain - oldest))
        self._gauges["transactions_under_way"].set(sending)
        self._gauges["gas_spent_wei"].set(self._database.gas_spent_wei())
        if engine.strategy is not None:
            self._strategy.clear()
            self._strategy.labels(engine.strategy).set(1)
        for code, count in self._database.declined_by_code().items():
            self._declined.labels(code).set(count)

    def _set(self, live: Mapping[str, JsonValue], least_lease: int) -> None:
        for name, key in (
            ("open_tasks", "open_tasks"),
            ("held_tasks", "held_tasks"),
            ("posted_tasks", "posted_tasks"),
            ("tokens_per_second", "tokens_per_s"),
            ("output_tokens", "output_tokens"),
            ("engine_starts", "engine_starts"),
            ("engine_failures", "engine_failures"),
            ("free_units", "free_units"),
            ("locked_units", "locked_units"),
            ("block", "block"),
        ):
            value = live[key]
            assert isinstance(value, int | float)
            self._gauges[name].set(value)
        self._gauges["least_lease_secs"].set(least_lease)


def read_live(database: Database) -> dict[str, JsonValue] | None:
    """The latest snapshot; None before the first start."""
    text = database.meta(_LIVE)
    if text is None:
        return None
    live: dict[str, JsonValue] = json.loads(text)
    return live


def _line(task: Task, artefacts: Mapping[bytes, Artefact], engine: EngineStatus) -> dict[str, JsonValue]:
    artefact = artefacts.get(task.id, NOTHING_YET)
    stage = Stage.RUNNING if task.id in engine.running else artefact.stage
    return {
        "task_id": task.id.hex(),
        "state": task.state.name.lower(),
        "stage": stage.value,
        "prompts": artefact.facts.prompts if artefact.facts is not None else 0,
        "tokens_done": engine.tokens_done.get(task.id, task.output_tokens),
        "max_output_tokens": task.request.max_output_tokens,
        "until": task.until,
    }
