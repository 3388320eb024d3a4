"""The running worker's snapshot: written to the database once a second, read by `status` and served as metrics."""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge

from chain.rpc import Block
from protocol.digest import JsonValue
from worker.artefacts import NOTHING_YET, Artefact, Stage
from worker.database import Database
from worker.gauge import EngineStatus
from worker.steps import Step
from worker.task import Task
from worker.view import View

_SHOWN_TASKS = 100
_LIVE = "live"
_COUNT_SECS = 5.0


@dataclass(frozen=True, slots=True)
class Reorgs:
    """Reorganisations since the start."""

    count: int = 0
    latest_depth: int = 0


class Snapshot:
    """Collects, keeps and publishes the worker's state."""

    def __init__(self, database: Database, address: str) -> None:
        self._database = database
        self._address = address
        self._written_at = 0.0
        self._counted_at = -_COUNT_SECS
        self.registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(f"quern_worker_{name}", text, registry=self.registry)
            for name, text in (
                ("open_tasks", "tasks that could be claimed"),
                ("oldest_open_secs", "age of the oldest open task in seconds"),
                ("held_tasks", "tasks leased by this worker"),
                ("posted_tasks", "tasks posted and not yet settled"),
                ("least_lease_secs", "seconds to the nearest lease end; 0 without leases"),
                ("transactions", "transactions whose outcome is not known yet"),
                ("reorganisations", "reorganisations followed since the start"),
                ("reorg_depth", "how many blocks the latest of them orphaned"),
                ("chain_silent_secs", "seconds since the chain last answered"),
                ("tokens_per_s", "output tokens a second over the last ten seconds"),
                ("output_tokens", "output tokens since the start"),
                ("engine_starts", "engine starts since the start of the worker"),
                ("engine_failures", "engine crashes, hangs and failed starts"),
                (
                    "regret_secs",
                    "what the strategy in use is predicted to cost beyond the best predicted one",
                ),
                ("free_units", "free balance in units"),
                ("locked_units", "bonds in units"),
                ("gas_spent_wei", "gas paid so far"),
                ("gas_per_task_wei", "the same over the tasks settled"),
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
        meta_model: str,
        head: Block | None,
        silent_secs: float,
        reorgs: Reorgs,
        transactions: int,
        draining: bool,
        running: bool,
        lock: threading.RLock,
    ) -> None:
        with lock:
            held, owed = list(view.held()), list(view.owed())
            now_chain = head.timestamp if head is not None else 0
            ends = [task.lease_end(self._address) for task in held]
            oldest = min((task.submitted_at for task in view.claimable()), default=now_chain)
            live: dict[str, JsonValue] = {
                "address": self._address,
                "at": time.time(),
                "pid": os.getpid(),
                "running": running,
                "draining": draining,
                "block": head.number if head is not None else 0,
                "chain_silent_secs": silent_secs,
                "open_tasks": view.open_count(),
                "oldest_open_secs": max(0, now_chain - oldest),
                "held_tasks": len(held),
                "posted_tasks": len(owed),
                "held": [
                    _line(task, end, artefacts, engine)
                    for task, end in zip(held[:_SHOWN_TASKS], ends, strict=False)
                ],
                "least_lease_secs": min((end - now_chain for end in ends), default=0),
                "transactions": transactions,
                "reorganisations": reorgs.count,
                "reorg_depth": reorgs.latest_depth,
                "owed_until": max((end for _, end in owed), default=0),
                "posted": [_line(task, end, artefacts, engine) for task, end in owed[:_SHOWN_TASKS]],
                "strategy": engine.strategy,
                "strategy_why": engine.why,
                "meta_model": meta_model,
                "engine": engine.engine,
                "starting": engine.starting,
                "running_tasks": len(engine.running),
                "engine_starts": engine.starts,
                "engine_failures": engine.failures,
                "regret_secs": engine.regret_secs,
                "tokens_per_s": engine.tokens_per_s,
                "output_tokens": engine.output_tokens,
                "free_units": view.free_units,
                "locked_units": view.locked_units,
            }
            with self._database.transaction(Step.SHOW):
                self._database.set_meta(_LIVE, json.dumps(live))
            self._written_at = time.monotonic()
        self._set(live)
        if engine.strategy is not None:
            self._strategy.clear()
            self._strategy.labels(engine.strategy).set(1)
        if self._written_at - self._counted_at >= _COUNT_SECS or not running:
            self._count()

    def _count(self) -> None:
        """Over all that the database has: the more that is, the longer it takes."""
        self._counted_at = time.monotonic()
        gas_wei, settled = self._database.gas_spent_wei(), self._database.counts()["settled"]
        self._set({"gas_spent_wei": gas_wei, "gas_per_task_wei": gas_wei / max(1, settled)})
        for code, count in self._database.declined_by_code().items():
            self._declined.labels(code).set(count)

    def _set(self, live: Mapping[str, JsonValue]) -> None:
        for name in self._gauges.keys() & live.keys():
            value = live[name]
            assert isinstance(value, int | float)
            self._gauges[name].set(value)


def read_live(database: Database) -> dict[str, JsonValue] | None:
    """The latest snapshot; None before the first start."""
    text = database.meta(_LIVE)
    if text is None:
        return None
    live: dict[str, JsonValue] = json.loads(text)
    return live


def _line(
    task: Task, until: int, artefacts: Mapping[bytes, Artefact], engine: EngineStatus
) -> dict[str, JsonValue]:
    artefact = artefacts.get(task.id, NOTHING_YET)
    stage = Stage.RUNNING if task.id in engine.running else artefact.stage
    return {
        "task_id": task.id.hex(),
        "state": task.state.name.lower(),
        "stage": stage.value,
        "prompts": artefact.facts.prompts if artefact.facts is not None else 0,
        "tokens_done": engine.tokens_done.get(task.id, task.output_tokens),
        "max_output_tokens": task.request.max_output_tokens,
        "until": until,
    }
