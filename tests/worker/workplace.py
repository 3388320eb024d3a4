"""The worker's own parts in a few lines: disk, store and engine, and what the reconciler makes of the chain's news."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from protocol import lifecycle
from protocol.lifecycle import Event
from tests.worker.makers import FACTS, ME, NOW
from worker.artefacts import Artefact, Call, Input, Stage
from worker.codes import Reason
from worker.stock import Stock, stage_of_a_result
from worker.task import Task
from worker.view import View

OWN_ENDS = (
    lifecycle.LeaseLapsed,
    lifecycle.LeaseReleased,
    lifecycle.CommitmentBurned,
    lifecycle.BondSlashed,
)
EFFECTS: dict[type[Event], Call] = {
    lifecycle.TaskClaimed: Call.CLAIM,
    lifecycle.ResultCommitted: Call.COMMIT,
    lifecycle.RevealOpened: Call.OPEN_REVEAL,
    lifecycle.ResultRevealed: Call.REVEAL,
}


@dataclass(slots=True)
class Disk:
    """What a crash leaves; as much of the worker's database as `Stock` reads."""

    results_by_task: dict[bytes, bytes] = field(default_factory=dict)
    declined_by_task: dict[bytes, Reason] = field(default_factory=dict)
    failures_by_task: Counter[bytes] = field(default_factory=Counter)

    def results(self, task_ids: Iterable[bytes]) -> dict[bytes, bytes]:
        return {one: self.results_by_task[one] for one in task_ids if one in self.results_by_task}

    def declined(self) -> dict[bytes, Reason]:
        return self.declined_by_task

    def failures(self) -> dict[bytes, int]:
        return self.failures_by_task


@dataclass
class Workplace:
    """`kind` is how often what may go wrong with the worker's own parts does not: 1 is a world without faults;
    `store_kind` is how often the store then takes a result.

    `reached` counts what the market did for the worker, and what befell it; `missed` are rounds that were won and
    settled without a result in the store.
    """

    draw: random.Random
    kind: float
    store_kind: float = 1.0
    now: int = NOW
    view: View = field(default_factory=lambda: View(ME, 10**9))
    stock: Stock = field(default_factory=Stock)
    disk: Disk = field(default_factory=Disk)
    store: set[bytes] = field(default_factory=set)
    missed: list[Task] = field(default_factory=list)
    reached: Counter[str] = field(default_factory=Counter)

    @property
    def artefacts(self) -> dict[bytes, Artefact]:
        return self.stock.artefacts

    def well(self) -> bool:
        return self.draw.random() < self.kind

    def persist(self, task: Task) -> None:
        artefact = self.artefacts[task.id]
        if self.stock.generated.pop(task.id, None) is not None:
            self.disk.results_by_task[task.id] = b"result"
            self.stock.results[task.id] = cast("Any", b"result")
        assert task.id in self.stock.results
        artefact.stage = Stage.SEALED if task.replicated else Stage.STORING

    def go_on(self, task_id: bytes, artefact: Artefact) -> None:
        """Store and engine do some of what they were asked for, or fail."""
        later = self.now + 2.0
        if artefact.input is Input.FETCHING and self.well():
            artefact.input, artefact.facts = Input.READY, FACTS
            self.stock.checked[task_id] = cast("Any", FACTS)
        elif artefact.input is Input.FETCHING and not self.well():
            away = self.draw.random() < 0.5
            artefact.input, artefact.bad = (
                (Input.UNKNOWN, None) if away else (Input.BAD, Reason("FETCH-001", "gone"))
            )
            artefact.retry_at = later if away else artefact.retry_at
        if artefact.stage is Stage.QUEUED:
            artefact.stage = Stage.RUNNING
        elif artefact.stage is Stage.RUNNING and self.well():
            artefact.stage = Stage.GENERATED
            self.stock.generated[task_id] = cast("Any", b"generated")
        elif artefact.stage is Stage.RUNNING and not self.well():
            artefact.stage, artefact.retry_at = Stage.IDLE, self.now + 0.5
            artefact.attempts += 1
            self.disk.failures_by_task[task_id] += 1
        elif artefact.stage is Stage.STORING:
            stored = self.well() and self.draw.random() < self.store_kind
            artefact.stage = Stage.SAVED if stored else stage_of_a_result(self.view.tasks[task_id])
            artefact.retry_at = 0.0 if stored else later
            if stored:
                self.store.add(task_id)

    def react(self, event: Event) -> None:
        """What the follower tells the reconciler of a task."""
        task_id = getattr(event, "task_id", b"")
        if getattr(event, "worker", ME) != ME and not isinstance(event, lifecycle.TaskSettled):
            return
        if type(event) in EFFECTS:
            self._took_effect(EFFECTS[type(event)], task_id)
        match event:
            case lifecycle.ResultCommitted():
                if self.stock.of(task_id).stage is Stage.IDLE:
                    for result in self.disk.results([task_id]).values():
                        self.stock.take_up(self.view.tasks[task_id], cast("Any", result))
            case lifecycle.LeafAnswered() | lifecycle.DemandLapsed():
                if task_id in self.artefacts:
                    self.artefacts[task_id].answering.discard(event.leaf)
            case lifecycle.LeaseLapsed() | lifecycle.LeaseReleased() | lifecycle.CommitmentBurned():
                self.stock.forget(task_id)
            case lifecycle.ResultPosted() | lifecycle.RoundWon() if self._answers_for(task_id):
                self._took_effect(Call.POST, task_id)
                self._took_effect(Call.CLOSE_ROUND, task_id)
                self.stock.done_with(task_id)
            case lifecycle.RoundWon() | lifecycle.TaskSettled() | lifecycle.TaskRefunded():
                self.stock.forget(task_id)

    def count(self, event: Event) -> None:
        """What befell this worker, once the view knows of it."""
        task = self.view.tasks.get(getattr(event, "task_id", b""))
        name = type(event).__name__
        if isinstance(event, OWN_ENDS):
            self.reached[name] += event.worker == ME
        elif isinstance(event, lifecycle.DemandLapsed | lifecycle.RoundWon) and task is not None:
            self.reached[name] += task.answered_for_by(ME)
        elif isinstance(event, lifecycle.TaskSettled) and task is not None and task.seat_of(ME) is not None:
            self.missed += [task] if task.id not in self.store else []

    def _answers_for(self, task_id: bytes) -> bool:
        return self.view.tasks[task_id].answered_for_by(ME)

    def _took_effect(self, call: Call, task_id: bytes) -> None:
        artefact = self.artefacts.get(task_id)
        if artefact is not None and artefact.under_way is call:
            artefact.under_way = None
