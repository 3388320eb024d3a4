"""An engine host with real child processes and no chain: jobs in, outcomes out."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from chain.store import ContentStore
from metainf import HardwareFacts, Selector
from protocol.params import GenerationParams
from tests.worker.harness import MODEL_DIR
from worker.artefacts import InputFacts
from worker.classes import Classes
from worker.config import Chain, Engine, Keys, Model, Store, WorkerConfig
from worker.database import Database
from worker.engines import EngineHost
from worker.inputs import CheckedInput, PreparedPrompt
from worker.jobs import Failed, Job
from worker.machine import Machine
from worker.models import ServedModel, serve
from worker.results import Generated
from worker.selection import Chooser

MACHINE = HardwareFacts("cpu", "a test's", 1, 16 << 30, 256 << 20, 10**10, 10**11)
GREEDY = GenerationParams(max_tokens=16)


def served() -> ServedModel:
    return next(iter(serve([MODEL_DIR]).values()))


def job(
    model: ServedModel,
    number: int,
    prompts: int = 1,
    *,
    params: GenerationParams = GREEDY,
    strategies: Sequence[str] = (),
    attempts: int = 0,
    lease_secs: float = 300.0,
) -> Job:
    """Of prompts that no other number has."""
    prepared = tuple(
        PreparedPrompt(f"p{place}", False, (number % 80 + 3, place % 80 + 3, 7, 8), params.max_tokens, None)
        for place in range(prompts)
    )
    facts = InputFacts(
        prompts, prompts, 4 * prompts, params.max_tokens * prompts, params.max_tokens * prompts, 1.0
    )
    checked = CheckedInput(prepared, params, facts, strategies=tuple(strategies))
    return Job(number.to_bytes(32, "big"), model, checked, time.time() + lease_secs, attempts)


class EngineRoom:
    """One host, started; `outcomes` gathers what it hands out."""

    def __init__(self, home: Path, model: ServedModel, engine: Engine) -> None:
        config = WorkerConfig(
            state_dir=home,
            chain=Chain(deployment=home / "deployment.json"),
            store=Store(url=str(home / "store")),
            keys=Keys(keystore=home / "keystore.json"),
            models=(Model(path=MODEL_DIR),),
            engine=engine,
        )
        self.database = Database(config.database)
        machine = Machine(config)
        found = machine.strategies()
        classes = Classes(ContentStore(config.store.url), self.database, found, machine.foreseen_facts)
        machine_facts = replace(MACHINE, kv_cache_bytes=(engine.kv_cache_mib or 256) << 20)
        chooser = Chooser(Selector.load(), machine_facts, found, engine.strategies, {model.id: model})
        self._woken = threading.Event()
        self.host = EngineHost(engine, chooser, classes, self.database, home, self._woken.set)
        self.outcomes: dict[bytes, Generated | Failed] = {}
        self.host.start()

    def run(self, jobs: Sequence[Job], secs: float = 60.0) -> list[Generated | Failed]:
        """Their outcomes, in order."""
        self.host.submit(jobs)
        return self.wait([each.task_id for each in jobs], secs)

    def wait(self, ids: Sequence[bytes], secs: float = 60.0) -> list[Generated | Failed]:
        deadline = time.monotonic() + secs
        while not all(one in self.outcomes for one in ids):
            assert time.monotonic() < deadline, f"not within {secs:g} s: {self.host.status()}"
            self._woken.wait(0.1)
            self._woken.clear()
            if self.host.failure is not None:
                raise self.host.failure
            self.outcomes |= {outcome.task_id: outcome for outcome in self.host.take()}
        return [self.outcomes.pop(one) for one in ids]

    def close(self) -> None:
        self.host.stop()
        self.database.close()


@contextmanager
def engine_room(home: Path, model: ServedModel, **engine: object) -> Iterator[EngineRoom]:
    """With the fake engine unless told otherwise."""
    room = EngineRoom(home, model, Engine(**{"kind": "fake", **engine}))
    try:
        yield room
    finally:
        room.close()


def again(one: Job, **changes: object) -> Job:
    return replace(one, **changes)  # type: ignore[arg-type]
