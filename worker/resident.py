"""One engine, the tasks in it, and what it has produced of each."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.base import (
    Completion,
    EngineConfig,
    EngineFacts,
    EngineHung,
    EngineKind,
    Event,
    Progress,
)
from engine.child import ChildEngine
from metainf import Strategy
from worker.jobs import Failed, Job, parts_of, request_id
from worker.kept import Kept, continued_lengths, requests_left
from worker.models import ServedModel
from worker.pace import Open, OutputShare, left_secs
from worker.progress import ProgressLog
from worker.results import Generated
from worker.run import Run

# How long ago a use counts half when it is judged whether there will be another.
_HALF_LIFE_SECS = 600.0


@dataclass(slots=True)
class _Running:
    """`failed` are the prompts that the engine could not serve, by their place; `feeding` tells its requests from those
    of a time before.
    """

    job: Job
    kept: Kept
    fed_tokens: int
    feeding: int
    first_token_at: float | None = None
    failed: dict[int, Completion] = field(default_factory=dict)

    @property
    def request_ids(self) -> list[str]:
        places = range(len(self.job.checked.prompts))
        return [request_id(self.job.task_id, self.feeding, place) for place in places]

    @property
    def through(self) -> bool:
        return len(self.kept.completions) + len(self.failed) == self.job.prompts


@dataclass(frozen=True, slots=True)
class Heard:
    """What came in one go: new tokens, and tasks that are through."""

    tokens: int = 0
    outcomes: tuple[Generated | Failed, ...] = ()


class Resident:
    """Every method but `stop` raises EngineError when the engine is gone.

    `peak_tokens`: the most that were in it at a time since it was last idle, prompts and all they may become.
    """

    def __init__(
        self,
        kind: EngineKind,
        config: EngineConfig,
        model: ServedModel,
        strategy: Strategy,
        progress: ProgressLog,
        output_share: OutputShare,
        *,
        hang_secs: float,
        log_path: Path,
    ) -> None:
        self.model = model
        self.strategy = strategy
        self._progress = progress
        self._output_share = output_share
        self._hang_secs = hang_secs
        self._engine = ChildEngine(kind, config, hang_secs=hang_secs, log_path=log_path)
        self._facts: EngineFacts | None = None
        self._running: dict[bytes, _Running] = {}
        self._prompts = 0
        self._feedings = 0
        self.peak_tokens = 0
        self._last_event_at = self._used_at = time.monotonic()
        self._uses = 0.0

    def start(self, timeout_secs: float) -> None:
        """Bring the engine up."""
        self._facts = self._engine.start(timeout_secs)

    @property
    def facts(self) -> EngineFacts:
        assert self._facts is not None
        return self._facts

    @property
    def pid(self) -> int:
        """Of its process, and of its process group."""
        assert self._engine.pid is not None
        return self._engine.pid

    def worth(self, now: float, *, wanted: bool) -> float:
        """Seconds of starting it again that letting it go would likely cost: recent uses, and one more if work for its
        model waits, times the start. `now` is monotonic.
        """
        return self.facts.start_secs * (self._recent_uses(now) + (1 if wanted else 0))

    def check(self) -> None:
        """Whether it is still there, with nothing inside."""
        self._engine.events(0.0)

    @property
    def running(self) -> frozenset[bytes]:
        return frozenset(self._running)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What is in it."""
        return tuple(running.job for running in self._running.values())

    @property
    def prompts(self) -> int:
        """Of all tasks in it."""
        return self._prompts

    @property
    def works_alone(self) -> bool:
        """A task that failed before is in it: nothing else joins."""
        return any(running.job.attempts for running in self._running.values())

    def tokens_done(self) -> dict[bytes, int]:
        return {task_id: running.kept.output_tokens for task_id, running in self._running.items()}

    def left_secs(self, output_share: float) -> dict[bytes, float]:
        """What the tasks in it still take, as far as it can be told."""
        now, found = time.time(), {}
        for task_id, running in self._running.items():
            kept, prompts = running.kept, running.job.checked.prompts
            began = running.first_token_at or now
            unfinished = [
                Open(
                    len(kept.tokens.get(place, ())),
                    prompt.max_tokens,
                    now - max(began, kept.first_token_at.get(place, now)),
                )
                for place, prompt in enumerate(prompts)
                if prompt.error is None and place not in kept.completions and place not in running.failed
            ]
            fresh = kept.output_tokens - running.fed_tokens
            left = left_secs(unfinished, fresh, now - began, output_share)
            if left is not None:
                found[task_id] = left
        return found

    def expected_tokens(self, output_share: float) -> int:
        """What its KV cache will likely hold of all that is in it."""
        return sum(running.job.expected_tokens(output_share) for running in self._running.values())

    def serves(self, model: ServedModel, strategy: Strategy) -> bool:
        return self.model.id == model.id and self.strategy == strategy

    def feed(self, jobs: Sequence[Job], run: Run | None) -> None:
        """The prompts of these jobs: all under `run`, or without one what is left of them under their own."""
        requests, now = [], time.time()
        if not self._running:
            self.peak_tokens = 0
        self._feedings += 1
        for job in jobs:
            kept = self._taken_up(job) if run is None else self._progress.begin(job.task_id, run, now)
            self._running[job.task_id] = _Running(job, kept, kept.output_tokens, self._feedings)
            self._prompts += job.prompts
            requests += requests_left(job, kept, self._feedings)
        self.peak_tokens = max(self.peak_tokens, sum(job.tokens for job in self.jobs))
        began = time.monotonic()
        self._uses = self._recent_uses(began) + 1
        self._last_event_at = self._used_at = began
        self._engine.submit(requests)

    def _taken_up(self, job: Job) -> Kept:
        kept = self._progress.of(job.task_id)
        assert kept is not None
        self._progress.again(kept, continued_lengths(job, kept, self.strategy))
        return kept

    def hear(self, wait_secs: float) -> Heard:
        """Wait a moment for tokens. Raises EngineHung when there have been none for too long."""
        events = self._engine.events(wait_secs)
        if events:
            self._last_event_at = time.monotonic()
            return self._note(events)
        silent_secs = time.monotonic() - self._last_event_at
        if silent_secs > self._hang_secs:
            raise EngineHung(f"no token for {silent_secs:.0f} s")
        return Heard()

    def _note(self, events: Sequence[Event]) -> Heard:
        fresh, outcomes = 0, []
        for event in events:
            task_id, feeding, place = parts_of(event.request_id)
            running = self._running.get(task_id)
            if running is None or running.feeding != feeding:
                continue
            if isinstance(event, Progress):
                self._progress.tokens(running.kept, place, event.token_ids)
                running.first_token_at = running.first_token_at or time.time()
                fresh += len(event.token_ids)
                continue
            self._ended(running, place, event)
            if running.through:
                self._forget(task_id)
                outcomes.append(outcome_of(running.job, running.kept, running.failed))
        return Heard(fresh, tuple(outcomes))

    def _ended(self, running: _Running, place: int, event: Completion) -> None:
        """A prompt that was continued is whole again: its tokens, its own length, its first times."""
        if event.error is not None:
            running.failed[place] = event
            return
        kept = running.kept
        again = place in kept.continued
        whole = replace(
            event,
            token_ids=tuple(kept.tokens.get(place, ())),
            prompt_tokens=len(running.job.checked.prompts[place].token_ids),
            submitted_at=kept.started_at if again else event.submitted_at,
            first_token_at=kept.first_token_at.get(place) if again else event.first_token_at,
        )
        self._progress.end(kept, place, whole)
        self._output_share.add(len(whole.token_ids), running.job.checked.prompts[place].max_tokens)

    def drop(self, task_ids: Iterable[bytes]) -> None:
        """Stop working on these, as far as they are in."""
        gone = [running for task_id in task_ids if (running := self._forget(task_id)) is not None]
        if gone:
            self._engine.abort([each for running in gone for each in running.request_ids])

    def stop(self) -> None:
        """Whatever it is doing. Does not raise."""
        self._engine.stop()

    def _recent_uses(self, now: float) -> float:
        return self._uses * math.pow(0.5, (now - self._used_at) / _HALF_LIFE_SECS)

    def _forget(self, task_id: bytes) -> _Running | None:
        running = self._running.pop(task_id, None)
        if running is not None:
            self._prompts -= running.job.prompts
        return running


def outcome_of(job: Job, kept: Kept, failed: Mapping[int, Completion]) -> Generated | Failed:
    """Of a task whose prompts are all through, `failed` ones among them."""
    if not kept.completions:
        return Failed(job.task_id, f"every prompt failed: {next(iter(failed.values())).error}")
    return Generated(
        job.task_id,
        job.checked,
        job.model,
        kept.run,
        {**kept.completions, **failed},
        kept.started_at,
        time.time(),
        tuple(kept.resumed),
    )
