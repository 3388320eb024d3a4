"""The engines under the worker: child processes kept fed, chosen among by the selector, buried and replaced when they
fail. Everything happens on one thread; the worker hands in jobs and takes out outcomes.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from engine.base import EngineError
from worker.classes import Classes
from worker.config import Engine as EngineSettings
from worker.database import Database
from worker.fleet import Fleet
from worker.gauge import EngineStatus, Gauge
from worker.jobs import Failed, Job, engine_config
from worker.memory import memory_of
from worker.models import ServedModel
from worker.pace import OutputShare
from worker.planning import CannotRun, Plan, Planner, Situation
from worker.progress import ProgressLog
from worker.resident import Resident, outcome_of
from worker.results import Generated
from worker.run import Run
from worker.selection import Chooser, servable
from worker.waiting import Room, next_group

LOG = logging.getLogger("quern.worker.engine")
_EVENT_WAIT_SECS = 0.02
_CPU_SLOTS, _GPU_SLOTS = 64, 256


class EngineHost:
    """Feeds the engines. `wake` is called, from the host's thread, whenever there is something to take."""

    def __init__(
        self,
        settings: EngineSettings,
        chooser: Chooser,
        classes: Classes,
        database: Database,
        log_dir: Path,
        wake: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._chooser = chooser
        self._classes = classes
        self._log_dir = log_dir
        self._wake = wake
        self._slots = settings.slots or (_GPU_SLOTS if chooser.hardware.device == "cuda" else _CPU_SLOTS)
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._outcomes: deque[Generated | Failed] = deque()
        self._dropped: set[bytes] = set()
        self._saved: set[bytes] = set()
        self._stopping = False
        # What ended the thread, if something did: no work is done any more.
        self.failure: Exception | None = None
        # Only the host's thread touches what follows.
        self._fleet = Fleet(settings.resident, memory_of(settings, chooser.hardware))
        self._progress = ProgressLog(log_dir / "progress.log")
        self._planner = Planner(chooser, self._progress, database)
        self._fed: Resident | None = None
        self._ready: list[Generated | Failed] = []
        self._output_share = OutputShare()
        self._gauge = Gauge(self._fleet, self._output_share)
        self._thread = threading.Thread(target=self._loop, name="engine-host", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def recover(self, task_ids: Collection[bytes]) -> None:
        """Before the start: of what an earlier process had in work only these tasks are still to be run."""
        self._progress.keep_only(task_ids)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue claimed tasks; returns at once. A task that was dropped before is worked on anew."""
        with self._changed:
            self._take_out({job.task_id for job in jobs})
            self._waiting.extend(jobs)
            self._changed.notify_all()

    def drop(self, task_id: bytes) -> None:
        """The task is no longer this worker's: stop working on it."""
        with self._changed:
            self._take_out({task_id})
            self._dropped.add(task_id)
            self._changed.notify_all()

    def saved(self, task_ids: Iterable[bytes]) -> None:
        """Their results are durable: what was kept of them on the way can go."""
        with self._changed:
            self._saved.update(task_ids)

    def take(self) -> list[Generated | Failed]:
        """Outcomes since the last call."""
        with self._changed:
            taken = list(self._outcomes)
            self._outcomes.clear()
            return taken

    def kv_tokens(self, model: ServedModel) -> int:
        """How many tokens an engine for it holds."""
        return self._chooser.kv_tokens(model, self._settings.devices)

    def status(self) -> EngineStatus:
        return self._gauge.status

    def stop(self) -> None:
        """End the thread and the children, whatever they are doing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._fleet.stop()
        if self._thread.is_alive():
            self._thread.join(self._settings.start_timeout_secs)

    def _loop(self) -> None:
        try:
            while not self._stopping:
                self._drop_lost()
                self._clear_fallen()
                self._admit()
                # The engines are fed before anybody is kept busy with what they finished.
                self._publish()
                self._hear()
                self._gauge.keep_up()
                self._progress.flush()
        except Exception as error:
            # A full disk, or a defect of ours: the worker ends with it.
            LOG.exception("no engine can be worked with any more")
            self.failure = error
            self._wake()
        finally:
            self._fleet.stop()
            self._progress.close()

    def _hear(self) -> None:
        """Wait for tokens if any are due, for jobs otherwise."""
        busy = self._fleet.busy
        if not busy:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping or self._dropped, 1.0)
            return
        for resident in busy:
            try:
                heard = resident.hear(_EVENT_WAIT_SECS / len(busy))
            except EngineError as error:
                if self._stopping:
                    return
                self._bury(resident, error)
                continue
            if heard.outcomes:
                self._planner.got_through(resident.model, resident.strategy, resident.peak_tokens)
            self._ready += heard.outcomes
            if heard.tokens or heard.outcomes:
                self._gauge.read(heard.tokens)

    def _drop_lost(self) -> None:
        with self._changed:
            dropped, self._dropped = self._dropped, set()
            saved, self._saved = self._saved, set()
        for resident in self._fleet:
            try:
                resident.drop(dropped & resident.running)
            except EngineError as error:
                self._bury(resident, error)
        # What was finished for a lease that is gone is not the result of one that came after it.
        self._ready = [each for each in self._ready if each.task_id not in dropped]
        self._progress.forget(dropped | saved)

    def _clear_fallen(self) -> None:
        """An engine that ends with nothing inside costs nobody anything but its next start."""
        for resident, error in self._fleet.fallen():
            LOG.warning("idle engine of strategy %s failed: %s", resident.strategy.name, error)
            self._gauge.failed()

    def _admit(self) -> None:
        """Give an engine what there is room for, all under one strategy."""
        group = self._next_group()
        if not group:
            return
        first = group[0]
        if self._finished_before(first):
            return
        try:
            plan = self._planner.plan(group, self._situation(first.model))
        except CannotRun as error:
            self._discard(group, str(error))
            return
        resident, busy = self._fleet.find(first.model, plan.strategy), self._fleet.busy
        if resident not in busy and len(busy) >= self._settings.generating:
            # What runs finishes first; then this group is looked at again.
            return
        if resident is None:
            resident = self._start(group, plan)
            if resident is None or not self._admitted(group, resident):
                return
        if plan.choice is None and not self._planner.same_engine(group, resident.facts):
            return
        self._wait_no_more(group)
        self._feed(resident, group, plan)

    def _situation(self, model: ServedModel) -> Situation:
        fed, up = self._fed, self._fleet.strategies(model)
        here = fed is not None and fed.model.id == model.id and fed.strategy.name in up
        return Situation(fed.strategy.name if fed is not None and here else None, up, len(self._waiting))

    def _finished_before(self, job: Job) -> bool:
        """Whether an earlier process had all of it, and died before the result was durable."""
        kept = self._progress.of(job.task_id)
        if kept is None or len(kept.completions) < job.prompts:
            return False
        self._wait_no_more([job])
        self._ready.append(outcome_of(job, kept, {}))
        return True

    def _admitted(self, group: Sequence[Job], resident: Resident) -> bool:
        """Whether the engine that started is what its classes ask for; what was foreseen of it may have been wrong."""
        facts = resident.facts.digestible()
        outside = [
            job
            for job in group
            if job.checked.equivalence is not None and not job.checked.equivalence.admits_engine(facts)
        ]
        self._discard(outside, "the engine is not of the equivalence class")
        return not outside

    def _next_group(self) -> list[Job]:
        if any(resident.works_alone for resident in self._fleet.busy):
            return []
        share = self._output_share.value
        room = Room(
            inside=self._fleet.prompts,
            slots=self._slots,
            tokens_of=lambda job: job.expected_tokens(share),
            kv_tokens=lambda job: self._free_kv_tokens(job.model),
        )
        with self._changed:
            # What is dropped leaves its engine before the same task may come again.
            return [] if self._dropped else next_group(self._waiting, room, self._planner.kind)

    def _free_kv_tokens(self, model: ServedModel) -> int:
        """Of an engine for this model: of the busiest, for it is the one that will get more, or of one to come."""
        share = self._output_share.value
        taken = (each.expected_tokens(share) for each in self._fleet.busy if each.model.id == model.id)
        return self.kv_tokens(model) - max(taken, default=0)

    def _wait_no_more(self, jobs: Sequence[Job]) -> None:
        """These very jobs: a task that was dropped meanwhile may wait again, as another job."""
        gone = {id(job) for job in jobs}
        with self._changed:
            self._waiting = deque(job for job in self._waiting if id(job) not in gone)

    def _wanted_models(self) -> set[bytes]:
        with self._changed:
            return {job.model.id for job in self._waiting}

    def _take_out(self, task_ids: Collection[bytes]) -> None:
        self._waiting = deque(job for job in self._waiting if job.task_id not in task_ids)

    def _start(self, group: Sequence[Job], plan: Plan) -> Resident | None:
        """Bring one more engine up; None if it must wait for room, or does not start."""
        model, strategy = group[0].model, plan.strategy
        settings = self._settings
        kv_cache_bytes = self._chooser.hardware.kv_cache_bytes
        if not self._fleet.make_room(model, self._wanted_models()):
            return None
        LOG.info("starting strategy %s: %s", strategy.name, plan.why)
        resident = Resident(
            settings.kind,
            engine_config(settings, model, strategy, kv_cache_bytes),
            model,
            strategy,
            self._progress,
            self._output_share,
            hang_secs=settings.hang_secs,
            log_path=self._log_dir / "engine.log",
        )
        self._gauge.starting(strategy.name)
        # A start may take minutes, in which what is finished can be posted.
        self._publish()
        try:
            self._fleet.start(resident, settings.start_timeout_secs)
        except EngineError as error:
            if self._stopping:
                return None
            LOG.warning("strategy %s did not start: %s", strategy.name, error)
            self._gauge.failed()
            self._planner.failed(error, model, strategy, group, None)
            with self._changed:
                alike = [job for job in self._waiting if job.model.id == model.id]
            # As long as another strategy may start, nobody has waited in vain.
            if self._planner.out_of_choices(group):
                self._discard(
                    [*group, *(job for job in alike if self._planner.out_of_choices([job]))], str(error)
                )
            return None
        facts = resident.facts
        self._classes.learn(model, strategy.name, facts)
        self._planner.started(model, strategy, facts.start_secs)
        self._gauge.started(facts)
        return resident

    def _feed(self, resident: Resident, group: Sequence[Job], plan: Plan) -> None:
        self._fed = resident
        run = None if plan.choice is None else Run.of(plan.choice, resident.facts)
        try:
            resident.feed(group, run)
        except EngineError as error:
            self._bury(resident, error)
            return
        if plan.choice is not None:
            model = resident.model
            beside_work = self._settings.generating > 1
            leaving = self._fleet.leaving(model, self._wanted_models(), beside_work=beside_work)
            self._planner.fed(model, plan.choice, self._fleet.strategies(model), leaving)
        self._gauge.fed(plan, [prompt for job in group for prompt in servable(job.checked)])
        self._wake()

    def _bury(self, resident: Resident, error: EngineError) -> None:
        """The engine is gone: everything in it failed, and the next group starts another."""
        LOG.warning("engine failed: %s", error)
        lost = resident.jobs
        self._fleet.remove(resident)
        if lost:
            self._planner.failed(error, resident.model, resident.strategy, lost, resident.facts)
        self._ready += [Failed(job.task_id, str(error)) for job in lost]
        self._gauge.buried()

    def _discard(self, jobs: Sequence[Job], why: str) -> None:
        """These jobs cannot be run as things are; of those dropped meanwhile nobody waits to hear."""
        wanted = {id(job) for job in jobs}
        with self._changed:
            self._ready += [Failed(job.task_id, why) for job in self._waiting if id(job) in wanted]
        self._wait_no_more(jobs)

    def _publish(self) -> None:
        if self._ready:
            with self._changed:
                self._outcomes.extend(each for each in self._ready if each.task_id not in self._dropped)
            self._ready.clear()
            self._wake()
