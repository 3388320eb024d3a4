"""The engine under the worker: one child process at a time, kept fed, changed when the selector says so, buried and
replaced when it fails. Everything happens on one thread; the worker hands in jobs and takes out outcomes.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.base import (
    Completion,
    EngineConfig,
    EngineError,
    EngineFacts,
    Event,
    GenerationRequest,
    JsonValue,
    Progress,
    Sampling,
)
from engine.child import ChildEngine
from metainf import Choice, SelectionState, Strategy
from protocol.errors import QuernError
from protocol.params import GenerationParams
from worker.config import Engine as EngineSettings
from worker.decide import Rates
from worker.inputs import CheckedInput
from worker.models import ServedModel
from worker.results import Generated, Run
from worker.selection import Chooser, prediction_of, rates_of, servable

LOG = logging.getLogger("quern.worker.engine")
_EVENT_WAIT_SECS = 0.02
_SPEED_WINDOW_SECS = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed task with its checked input. `lease_end` is in wall seconds; `attempts` counts earlier failures."""

    task_id: bytes
    model: ServedModel
    checked: CheckedInput
    lease_end: float
    attempts: int

    @property
    def prompts(self) -> int:
        return len(servable(self.checked))


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine did not get through a task."""

    task_id: bytes
    why: str


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A snapshot for reports."""

    strategy: str | None = None
    why: str = ""
    engine: str = ""
    starts: int = 0
    failures: int = 0
    output_tokens: int = 0
    tokens_per_s: float = 0.0
    rates: Rates = field(default_factory=Rates)
    tokens_done: Mapping[bytes, int] = field(default_factory=dict)
    running: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class _Running:
    job: Job
    run: Run
    started_at: float
    completions: dict[int, Completion] = field(default_factory=dict)
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Resident:
    """The engine that is up."""

    engine: ChildEngine
    facts: EngineFacts
    model: ServedModel
    strategy: Strategy


class EngineHost:
    """Feeds one resident engine. `wake` is called, from the host's thread, whenever there is something to take."""

    def __init__(
        self, settings: EngineSettings, chooser: Chooser, log_dir: Path, wake: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._chooser = chooser
        self._log_dir = log_dir
        self._wake = wake
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._outcomes: deque[Generated | Failed] = deque()
        self._dropped: set[bytes] = set()
        self._stopping = False
        # Only the host's thread touches what follows.
        self._resident: _Resident | None = None
        self._running: dict[bytes, _Running] = {}
        self._ready: list[Generated | Failed] = []
        self._broken: dict[str, str] = {}
        self._start_secs: dict[str, float] = {}
        self._produced: deque[tuple[float, int]] = deque()
        self._last_event_at = 0.0
        self._status = EngineStatus()
        self._thread = threading.Thread(target=self._loop, name="engine-host", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a claimed task; returns at once."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify_all()

    def drop(self, task_id: bytes) -> None:
        """The task is no longer this worker's: stop working on it."""
        with self._changed:
            self._dropped.add(task_id)
            self._changed.notify_all()

    def take(self) -> list[Generated | Failed]:
        """Outcomes since the last call."""
        with self._changed:
            taken = list(self._outcomes)
            self._outcomes.clear()
            return taken

    def status(self) -> EngineStatus:
        return self._status

    def stop(self) -> None:
        """End the thread and the child, whatever they are doing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        resident = self._resident
        if resident is not None:
            resident.engine.stop()
        if self._thread.is_alive():
            self._thread.join(self._settings.start_timeout_secs)

    def _loop(self) -> None:
        try:
            while not self._stopping:
                self._drop_lost()
                self._admit()
                # The engine is fed before anybody is kept busy with what it finished.
                self._publish()
                self._hear()
        finally:
            self._retire()

    def _hear(self) -> None:
        """Wait for tokens if any are due, for jobs otherwise."""
        resident = self._resident
        if resident is None or not self._running:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping or self._dropped, 1.0)
            return
        try:
            events = resident.engine.events(_EVENT_WAIT_SECS)
            silent_secs = time.monotonic() - self._last_event_at
            if not events and silent_secs > self._settings.hang_secs:
                self._bury(f"no token for {silent_secs:.0f} s")
                return
        except EngineError as error:
            if not self._stopping:
                self._bury(str(error))
            return
        if events:
            self._last_event_at = time.monotonic()
            self._note(events)

    def _note(self, events: list[Event]) -> None:
        fresh = 0
        for event in events:
            task_id, _, place = event.request_id.partition("/")
            running = self._running.get(bytes.fromhex(task_id))
            if running is None:
                continue
            if isinstance(event, Progress):
                running.tokens += len(event.token_ids)
                fresh += len(event.token_ids)
            else:
                running.completions[int(place)] = event
                if len(running.completions) == running.job.prompts:
                    self._finish(running)
        self._report(fresh)

    def _finish(self, running: _Running) -> None:
        del self._running[running.job.task_id]
        errors = [item.error for item in running.completions.values() if item.error is not None]
        if len(errors) == len(running.completions):
            self._out(Failed(running.job.task_id, f"every prompt failed: {errors[0]}"))
            return
        job = running.job
        self._out(
            Generated(
                job.task_id,
                job.checked,
                job.model,
                running.run,
                running.completions,
                running.started_at,
                time.time(),
            )
        )

    def _drop_lost(self) -> None:
        with self._changed:
            dropped, self._dropped = self._dropped, set()
            if dropped:
                self._waiting = deque(job for job in self._waiting if job.task_id not in dropped)
        for task_id in dropped:
            running = self._running.pop(task_id, None)
            if running is not None and self._resident is not None:
                try:
                    self._resident.engine.abort(
                        [_request_id(task_id, place) for place in _places(running.job)]
                    )
                except EngineError as error:
                    self._bury(str(error))

    def _admit(self) -> None:
        """Give the engine what it has room for, all under one strategy."""
        group = self._next_group()
        if not group:
            return
        model = group[0].model
        state = SelectionState(
            running=self._resident.strategy.name
            if self._resident and self._resident.model.id == model.id
            else None,
            queued_jobs=max(0, len(self._waiting) // len(group) - 1),
            restart_secs=dict(self._start_secs),
            deadline_secs=round(max(0.0, min(job.lease_end for job in group) - time.time()), 1),
            allowed=self._usable(),
        )
        try:
            choice = self._chooser.choose(model, [job.checked for job in group], state)
        except QuernError as error:
            self._discard(group, str(error))
            return
        resident = self._resident
        same = resident is not None and resident.model.id == model.id and resident.strategy == choice.strategy
        if not same:
            if self._running:
                # What runs finishes first; then this group is looked at again.
                return
            if not self._start(model, choice):
                return
        self._take_waiting(group)
        self._feed(group, choice)

    def _next_group(self) -> list[Job]:
        """The first waiting job and those behind it that go along: same model, room left. Failed jobs go alone."""
        room = self._settings.slots - sum(running.job.prompts for running in self._running.values())
        group: list[Job] = []
        with self._changed:
            for job in self._waiting:
                alone = job.attempts > 0
                if group and (alone or job.model.id != group[0].model.id):
                    break
                if alone and self._running:
                    break
                if job.prompts > room and (group or self._running):
                    break
                group.append(job)
                room -= job.prompts
                if alone:
                    break
        if any(running.job.attempts for running in self._running.values()):
            return []
        return group

    def _take_waiting(self, group: list[Job]) -> None:
        with self._changed:
            for _ in group:
                self._waiting.popleft()

    def _usable(self) -> tuple[str, ...]:
        usable = tuple(name for name in self._chooser.allowed if name not in self._broken)
        if usable:
            return usable
        # Everything failed once: the machine may have been the reason, so everything gets another chance.
        self._broken.clear()
        return self._chooser.allowed

    def _start(self, model: ServedModel, choice: Choice) -> bool:
        self._retire()
        strategy = choice.strategy
        LOG.info("starting strategy %s: %s", strategy.name, choice.reason)
        engine = ChildEngine(
            self._settings.kind,
            engine_config(self._settings, model, strategy, self._chooser.hardware.kv_cache_bytes),
            hang_secs=self._settings.hang_secs,
            log_path=self._log_dir / "engine.log",
        )
        try:
            facts = engine.start(self._settings.start_timeout_secs)
        except EngineError as error:
            engine.stop()
            LOG.warning("strategy %s did not start: %s", strategy.name, error)
            self._broken[strategy.name] = str(error)
            self._status = replace(self._status, failures=self._status.failures + 1)
            if len(self._broken) >= len(self._chooser.allowed):
                self._discard(list(self._waiting), str(error))
            return False
        self._resident = _Resident(engine, facts, model, strategy)
        self._start_secs[strategy.name] = round(facts.start_secs, 2)
        self._status = replace(
            self._status,
            strategy=strategy.name,
            engine=f"{facts.engine} {facts.version} on {facts.device}",
            starts=self._status.starts + 1,
        )
        return True

    def _feed(self, group: list[Job], choice: Choice) -> None:
        resident = self._resident
        assert resident is not None
        run, now = Run.of(choice, resident.facts), time.time()
        requests = []
        for job in group:
            self._running[job.task_id] = _Running(job, run, now)
            sampling = sampling_of(job.checked.params)
            requests += [
                GenerationRequest(
                    _request_id(job.task_id, place),
                    job.checked.prompts[place].token_ids,
                    job.checked.prompts[place].max_tokens,
                    sampling,
                )
                for place in _places(job)
            ]
        prediction = prediction_of(choice)
        self._last_event_at = time.monotonic()
        try:
            resident.engine.submit(requests)
        except EngineError as error:
            self._bury(str(error))
            return
        if len(requests) > 1:
            rates = rates_of(
                prediction,
                sum(len(request.prompt_token_ids) for request in requests),
                sum(request.max_tokens for request in requests),
            )
            self._status = replace(self._status, rates=rates)
        self._status = replace(self._status, why=choice.reason)
        self._report(0)
        self._wake()

    def _bury(self, why: str) -> None:
        """The engine is gone: everything in it failed, and the next group starts another."""
        LOG.warning("engine failed: %s", why)
        self._retire()
        lost, self._running = list(self._running), {}
        self._status = replace(self._status, failures=self._status.failures + 1, strategy=None)
        for task_id in lost:
            self._out(Failed(task_id, why))
        self._report(0)

    def _discard(self, jobs: list[Job], why: str) -> None:
        """These jobs cannot be run as things are."""
        gone = {job.task_id for job in jobs}
        with self._changed:
            self._waiting = deque(job for job in self._waiting if job.task_id not in gone)
        for job in jobs:
            self._out(Failed(job.task_id, why))

    def _retire(self) -> None:
        resident, self._resident = self._resident, None
        if resident is not None:
            resident.engine.stop()

    def _out(self, outcome: Generated | Failed) -> None:
        self._ready.append(outcome)

    def _publish(self) -> None:
        if self._ready:
            with self._changed:
                self._outcomes.extend(self._ready)
            self._ready.clear()
            self._wake()

    def _report(self, fresh_tokens: int) -> None:
        now = time.monotonic()
        if fresh_tokens:
            self._produced.append((now, fresh_tokens))
        while self._produced and self._produced[0][0] < now - _SPEED_WINDOW_SECS:
            self._produced.popleft()
        span = max(1.0, now - self._produced[0][0]) if self._produced else 1.0
        self._status = replace(
            self._status,
            output_tokens=self._status.output_tokens + fresh_tokens,
            tokens_per_s=sum(tokens for _, tokens in self._produced) / span,
            tokens_done={task_id: running.tokens for task_id, running in self._running.items()},
            running=frozenset(self._running),
        )


def engine_config(
    settings: EngineSettings, model: ServedModel, strategy: Strategy, kv_cache_bytes: int
) -> EngineConfig:
    """The strategy, and what this machine and the model add to it."""
    arguments: dict[str, JsonValue] = {**strategy.engine_args, "max_model_len": model.window}
    if settings.kind == "fake":
        arguments["fake_tokens_per_sec"] = settings.fake_tokens_per_sec
    else:
        # Precision is part of what was bought: vLLM's "auto" would halve it on a CPU.
        arguments |= {"dtype": model.dtype, "kv_cache_memory_bytes": kv_cache_bytes}
    threads = str(settings.threads)
    environment = {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads, **strategy.environment}
    return EngineConfig(model.path, arguments, environment)


def sampling_of(params: GenerationParams) -> Sampling:
    """The task's parameters as the engine takes them."""
    return Sampling(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        repetition_penalty=params.repetition_penalty,
        stop=params.stop,
        seed=params.seed,
    )


def _places(job: Job) -> list[int]:
    return [place for place, prompt in enumerate(job.checked.prompts) if prompt.error is None]


def _request_id(task_id: bytes, place: int) -> str:
    return f"{task_id.hex()}/{place}"
