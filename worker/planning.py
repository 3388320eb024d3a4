"""Under which strategy jobs go: on as before where something is kept of them, else as the selector chooses."""

import time
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from engine.base import EngineError, EngineFacts
from metainf import Choice, SelectionState, Strategy
from metainf.foregone import foregone_after
from protocol.errors import QuernError
from worker.database import Database
from worker.jobs import Job
from worker.models import ServedModel
from worker.progress import ProgressLog
from worker.run import engine_bytes
from worker.selection import Chooser
from worker.steady import steady_secs
from worker.steps import Step
from worker.trouble import Troubles, trouble

# A task on which the engine failed this often goes on where it was; after one more failure it starts anew.
_RESUMED_ATTEMPTS = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a group will be run under. No `choice`: under what is kept of it."""

    strategy: Strategy
    why: str
    choice: Choice | None


@dataclass(frozen=True, slots=True)
class Situation:
    """What the selector is told of the moment: the strategy fed last for this model, those up for it, jobs waiting."""

    running: str | None
    resident: tuple[str, ...]
    waiting: int


class CannotRun(Exception):
    """No strategy can run this, and why."""


class Planner:
    """Knows what is kept, what starts cost here and what was foregone without, and which strategies rest."""

    def __init__(self, chooser: Chooser, progress: ProgressLog, database: Database) -> None:
        self._chooser = chooser
        self._progress = progress
        self._database = database
        self._troubles = Troubles(database.troubles())
        self._start_secs: dict[str, float] = {}
        # By model; all by the predictions of one meta-model.
        self._foregone_secs: dict[bytes, Mapping[str, float]] = {}
        self._foregone_under = chooser.meta_model_digest

    def plan(self, group: Sequence[Job], situation: Situation) -> Plan:
        """Raises CannotRun."""
        first = group[0]
        kept = self._progress.of(first.task_id)
        if kept is not None:
            strategy = self._chooser.strategy_of(kept.run.strategy_digest)
            permitted = strategy is not None and strategy.name in self._permitted(first)
            if strategy is not None and permitted and first.attempts <= _RESUMED_ATTEMPTS:
                return Plan(strategy, "taken up again", None)
            self._progress.forget(job.task_id for job in group)
        state = SelectionState(
            running=situation.running,
            resident=situation.resident,
            queued_jobs=max(0, situation.waiting // len(group) - 1),
            restart_secs=dict(self._start_secs),
            foregone_secs=self._foregone_secs.get(first.model.id, {}),
            deadline_secs=round(max(0.0, min(job.lease_end for job in group) - steady_secs()), 1),
            allowed=self._allowed(first, sum(job.tokens for job in group)),
        )
        try:
            choice = self._chooser.choose(first.model, [job.checked for job in group], state)
        except QuernError as error:
            raise CannotRun(str(error)) from error
        if choice.record.meta_model_digest != self._foregone_under:
            # What another meta-model predicted says nothing of what this one's choices go without.
            self._foregone_under = choice.record.meta_model_digest
            self._foregone_secs.clear()
            return self.plan(group, situation)
        return Plan(choice.strategy, choice.reason, choice)

    def kind(self, job: Job) -> Hashable:
        """Jobs of one kind may go together: one choice serves all, or they go on under the same strategy and engine."""
        kept = self._progress.of(job.task_id)
        before = None if kept is None else (kept.run.strategy_digest, kept.run.engine)
        return job.model.id, job.checked.strategies, before

    def same_engine(self, group: Sequence[Job], facts: EngineFacts) -> bool:
        """Whether what is kept came from such an engine; if not it is of no use, for a receipt names one engine."""
        engine = engine_bytes(facts)
        strange = [
            job.task_id
            for job in group
            if (kept := self._progress.of(job.task_id)) is not None and kept.run.engine != engine
        ]
        self._progress.forget(strange)
        return not strange

    def fed(self, model: ServedModel, choice: Choice, up: Collection[str], leaving: Collection[str]) -> None:
        """A group runs as chosen; `up` names the engines up for the model, `leaving` those that one more would end."""
        state, taken = choice.record.state, choice.strategy.name
        self._foregone_secs[model.id] = foregone_after(state, choice.predictions, taken, up, leaving)

    def started(self, model: ServedModel, strategy: Strategy, secs: float) -> None:
        self._start_secs[strategy.name] = round(secs, 2)
        self.got_through(model, strategy, 0)

    def got_through(self, model: ServedModel, strategy: Strategy, tokens: int) -> None:
        """So many at a time; 0 for a start."""
        if self._troubles.forgive(model.id, strategy.name, tokens):
            with self._database.transaction(Step.FORGIVE):
                self._database.forgive_troubles(model.id, strategy.name, tokens)

    def failed(
        self,
        error: EngineError,
        model: ServedModel,
        strategy: Strategy,
        jobs: Sequence[Job],
        facts: EngineFacts | None,
    ) -> None:
        """With these jobs inside, or about to be; `facts` are the engine's, None if it did not come up."""
        workload = self._chooser.workload_of([job.checked for job in jobs])
        each = trouble(error, model, strategy, self._chooser.hardware, workload, facts)
        self._troubles.note(each)
        # What would have been saved under it was not to be had.
        foregone = self._foregone_secs.get(model.id, {})
        self._foregone_secs[model.id] = {
            name: secs for name, secs in foregone.items() if name != strategy.name
        }
        with self._database.transaction(Step.NOTE_TROUBLE):
            self._database.save_trouble(each)

    def out_of_choices(self, group: Sequence[Job]) -> bool:
        """Whether every strategy that may run them together rests."""
        tokens = sum(job.tokens for job in group)
        return set(self._permitted(group[0])) <= self._resting(group[0].model, tokens).keys()

    def _permitted(self, job: Job) -> tuple[str, ...]:
        """By the operator, and by the task's class if it asks for one."""
        wanted = job.checked.strategies
        return tuple(name for name in self._chooser.allowed if not wanted or name in wanted)

    def _allowed(self, job: Job, tokens: int) -> tuple[str, ...]:
        """Of those permitted the ones that do not rest; if all do, the machine may have been the reason, so all."""
        permitted, resting = self._permitted(job), self._resting(job.model, tokens)
        return tuple(name for name in permitted if name not in resting) or permitted

    def _resting(self, model: ServedModel, tokens: int) -> dict[str, str]:
        return dict(self._troubles.resting(model.id, tokens, time.time()))
