"""What this machine holds for each task: how far it is, its checked input, what was generated, what will be posted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.artefacts import NOTHING_YET, Artefact, Input, Stage
from worker.database import Database, Result
from worker.inputs import CheckedInput
from worker.outbox_rows import Sending
from worker.results import Generated
from worker.task import Task
from worker.view import View


@dataclass(slots=True)
class Stock:
    """A cache: all of it comes from the database, or can be made again."""

    artefacts: dict[bytes, Artefact] = field(default_factory=dict)
    checked: dict[bytes, CheckedInput] = field(default_factory=dict)
    generated: dict[bytes, Generated] = field(default_factory=dict)
    results: dict[bytes, Result] = field(default_factory=dict)

    def of(self, task_id: bytes) -> Artefact:
        """To be changed."""
        artefact = self.artefacts.get(task_id)
        if artefact is None:
            artefact = self.artefacts[task_id] = Artefact()
        return artefact

    def forget(self, task_id: bytes) -> None:
        for known in (self.artefacts, self.checked, self.generated, self.results):
            known.pop(task_id, None)

    def done_with(self, task_id: bytes) -> None:
        """Input and result of a task that is posted need not stay at hand, unless they are yet to be stored."""
        if self.artefacts.get(task_id, NOTHING_YET).stage not in {Stage.SEALED, Stage.STORING}:
            self.checked.pop(task_id, None)
            self.results.pop(task_id, None)

    def take_up(self, task: Task, result: Result) -> None:
        """Work on the task stands where this result, made before, was durable and nothing more."""
        self.results[task.id] = result
        self.of(task.id).stage = stage_of_a_result(task)

    def recover(self, database: Database, view: View, sendings: Iterable[Sending]) -> None:
        """Take up what an earlier process left: results to post, failures, transactions under way."""
        for task_id, failures in database.failures().items():
            if task_id in view.tasks:
                self.of(task_id).attempts = failures
        worked_on = {task.id: task for task in (*view.held(), *view.rounds(), *view.won())}
        for task_id, result in database.results(list(worked_on)).items():
            self.take_up(worked_on[task_id], result)
        for sending in sendings:
            self.wait_for(sending, sending.task_ids)

    def wait_for(self, sending: Sending, task_ids: Iterable[bytes]) -> None:
        """The transaction is under way for these tasks."""
        for task_id in task_ids:
            if sending.leaf is not None:
                self.of(task_id).answering.add(sending.leaf)
            else:
                self.of(task_id).under_way = sending.call

    def rewound(self, tasks: Iterable[Task], results: Mapping[bytes, Result]) -> None:
        """A reorganisation put `tasks` back to where they were: what rested on the orphaned blocks is looked at anew,
        what this machine has made stays.
        """
        for task in tasks:
            artefact = self.of(task.id)
            artefact.refused, artefact.given_up, artefact.alerted = {}, False, False
            if artefact.input is Input.READY and task.id not in self.checked:
                artefact.input = Input.UNKNOWN
            if artefact.stage is Stage.STORING:
                continue
            if task.id in results:
                self.take_up(task, results[task.id])
            elif artefact.stage in _MADE and task.id not in self.generated:
                artefact.stage = Stage.IDLE

    def make_room(self, budget_tokens: int, view: View) -> None:
        """What others have claimed, and what better-paying tasks have pushed out of the window, is read again when its
        turn comes.
        """
        held_tokens = sum(checked.facts.prompt_tokens for checked in self.checked.values())
        if held_tokens <= 2 * budget_tokens:
            return
        waiting = [task.id for task in view.claimable()]
        mine = {task_id for task_id in self.checked if task_id in view.tasks and view.tasks[task_id].mine}
        taken = self.checked.keys() - mine - set(waiting)
        for task_id in [*taken, *reversed(waiting)]:
            if held_tokens <= budget_tokens:
                return
            artefact = self.artefacts.get(task_id, NOTHING_YET)
            if artefact.under_way is None and task_id in self.checked:
                held_tokens -= self.checked.pop(task_id).facts.prompt_tokens
                artefact.input = Input.UNKNOWN


_MADE = frozenset({Stage.GENERATED, Stage.SEALED, Stage.SAVED})


def stage_of_a_result(task: Task) -> Stage:
    """What is durable in the database is stored next, or kept from the others."""
    return Stage.SEALED if task.replicated else Stage.GENERATED
