"""What came back since the last round: inputs, stored results, the engine's outcomes, ends of transactions."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol.lifecycle import SeatState, SkipReason
from worker.artefacts import Artefact, Call, Input, Stage
from worker.codes import Reason
from worker.database import Database, Decided
from worker.fetching import Fetched
from worker.gauge import EngineStatus
from worker.jobs import Failed
from worker.outbox import Outcome
from worker.results import Generated
from worker.steady import steady_secs
from worker.steps import Step
from worker.stock import Stock, stage_of_a_result
from worker.storing import Stored
from worker.task import Task
from worker.view import View

LOG = logging.getLogger("quern.worker")
_RETRY_SECS = 2.0
_SKIP_RETRY_SECS = 1.0
_ENGINE_RETRY_SECS = 0.5
_REFUSED = {Call.POST: "POST-003", Call.COMMIT: "COMMIT-003", Call.REVEAL: "REVEAL-003"}


@dataclass(slots=True)
class Intake:
    """Brings the stock up to date, and notes what an operator will want to know."""

    stock: Stock
    view: View
    database: Database

    def fetched(self, taken: Sequence[Fetched]) -> None:
        for fetched in taken:
            artefact = self.stock.artefacts.get(fetched.task_id)
            if artefact is not None:
                self._one_fetched(fetched, artefact)

    def stored(self, taken: Iterable[Stored]) -> None:
        """A store that is away is tried again; the result is safe in the database meanwhile."""
        for stored in taken:
            if stored.failure is not None:
                LOG.warning("%d results are not in the store yet: %s", len(stored.task_ids), stored.failure)
            for task_id in stored.task_ids:
                artefact, task = self.stock.artefacts.get(task_id), self.view.tasks.get(task_id)
                if artefact is None or artefact.stage is not Stage.STORING:
                    continue
                before = Stage.GENERATED if task is None else stage_of_a_result(task)
                artefact.stage = Stage.SAVED if stored.failure is None else before
                artefact.retry_at = 0.0 if stored.failure is None else steady_secs() + _RETRY_SECS

    def run(self, engine: EngineStatus, outcomes: Iterable[Generated | Failed]) -> None:
        for task_id in engine.running:
            artefact = self.stock.artefacts.get(task_id)
            if artefact is not None and artefact.stage is Stage.QUEUED:
                artefact.stage = Stage.RUNNING
            if artefact is not None:
                artefact.left_secs = engine.left_secs.get(task_id)
        failed: list[Failed] = []
        for outcome in outcomes:
            artefact = self.stock.artefacts.get(outcome.task_id)
            if artefact is None or artefact.stage not in {Stage.QUEUED, Stage.RUNNING}:
                # Of a lease that was gone meanwhile, and may be back.
                continue
            if isinstance(outcome, Failed):
                artefact.stage = Stage.IDLE
                artefact.attempts += 1
                artefact.retry_at = steady_secs() + _ENGINE_RETRY_SECS
                failed.append(outcome)
            else:
                artefact.stage = Stage.GENERATED
                self.stock.generated[outcome.task_id] = outcome
        if failed:
            now = time.time()
            with self.database.transaction(Step.COUNT_FAILURE):
                self.database.count_failures(item.task_id for item in failed)
                self.database.note(Decided(item.task_id, now, Reason("RUN-003", item.why)) for item in failed)

    def sent(self, outcomes: Iterable[Outcome]) -> None:
        """Transactions that are over, their events taken in."""
        notes: list[Decided] = []
        for outcome in outcomes:
            for task_id in outcome.sending.task_ids:
                artefact = self.stock.artefacts.get(task_id)
                if artefact is None:
                    continue
                if outcome.sending.leaf is not None:
                    artefact.answering.discard(outcome.sending.leaf)
                    artefact.answer_retry_at = 0.0 if outcome.taken else steady_secs() + _ENGINE_RETRY_SECS
                    continue
                reason = self._one_sent(task_id, artefact, outcome)
                if reason is not None:
                    notes.append(Decided(task_id, time.time(), reason))
        if notes:
            with self.database.transaction(Step.NOTE_OUTCOME):
                self.database.note(notes)

    def _one_fetched(self, fetched: Fetched, artefact: Artefact) -> None:
        if fetched.checked is not None:
            artefact.input, artefact.facts = Input.READY, fetched.checked.facts
            self.stock.checked[fetched.task_id] = fetched.checked
        elif fetched.refused is not None:
            artefact.input, artefact.bad = Input.BAD, fetched.refused
        else:
            if not artefact.retry_at:
                away = Reason("FETCH-005", "the store does not answer; asked again later")
                with self.database.transaction(Step.NOTE_AWAY):
                    self.database.note([Decided(fetched.task_id, time.time(), away)])
            artefact.input, artefact.retry_at = Input.UNKNOWN, steady_secs() + _RETRY_SECS

    def _one_sent(self, task_id: bytes, artefact: Artefact, outcome: Outcome) -> Reason | None:
        """If it had no effect on this task, say why and wait before trying again."""
        call = outcome.sending.call
        if artefact.under_way is not call:
            return None
        artefact.under_way = None
        task = self.view.tasks.get(task_id)
        skipped, artefact.refused = artefact.refused.get(outcome.tx_hash, 0), {}
        if task is None or not _still_due(call, task, self.view.me):
            return None
        artefact.retry_at = steady_secs() + _SKIP_RETRY_SECS
        name = SkipReason(skipped).name.lower().replace("_", " ") if skipped else "the transaction failed"
        if call is Call.POST:
            artefact.given_up = outcome.taken and skipped != 0
        if call is Call.CLAIM:
            raced = skipped in {SkipReason.LEASE_RUNNING, SkipReason.WRONG_STATE}
            return Reason("CLAIM-021" if raced else "WAIT-001", name)
        code = _REFUSED.get(call)
        return None if code is None else Reason(code, name)


def _still_due(call: Call, task: Task, me: str) -> bool:
    """Whether the call left the task where it was."""
    match call:
        case Call.CLAIM:
            return not (task.held_by(me) or task.in_round(me))
        case Call.POST | Call.RELEASE | Call.COMMIT:
            return task.held_by(me)
        case Call.REVEAL:
            seat = task.seat_of(me)
            return seat is not None and seat.state is SeatState.COMMITTED
        case Call.OPEN_REVEAL | Call.CLOSE_ROUND | Call.EXPIRE:
            return task.in_round(me)
        case Call.SETTLE | Call.TIMEOUT:
            return task.answered_for_by(me)
        case _:
            return False
