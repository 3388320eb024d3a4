"""What an audit found: one result per step, as text for people and JSON for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protocol.digest import JsonValue, to_hex

FIRST_FAILED_STATUS = 10
LACKING_STATUS = 3
_MARKS = {"passed": "ok", "failed": "FAILED", "lacking": "lacks"}


class Outcome(StrEnum):
    """`LACKING` is neither for nor against the worker: something needed for the step is not at hand."""

    PASSED = "passed"
    FAILED = "failed"
    LACKING = "lacking"


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of `docs/auditor.md`, in one plain sentence; `figures` are its numbers for programs."""

    number: int
    title: str
    outcome: Outcome
    sentence: str
    figures: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """0 passed, 3 lacking, 10 + the step's number failed."""
        if self.outcome is Outcome.PASSED:
            return 0
        return LACKING_STATUS if self.outcome is Outcome.LACKING else FIRST_FAILED_STATUS + self.number

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "step": self.number,
            "title": self.title,
            "outcome": self.outcome.value,
            "exit_status": self.exit_status,
            "sentence": self.sentence,
            "figures": dict(self.figures),
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The steps that ran, in order; a step that was not asked for is not in it."""

    task_id: bytes
    steps: tuple[StepResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every step that ran passed."""
        return all(step.outcome is Outcome.PASSED for step in self.steps)

    @property
    def exit_status(self) -> int:
        """That of the first failed step; else 3 if a step lacked something; else 0."""
        failed = [step.exit_status for step in self.steps if step.outcome is Outcome.FAILED]
        return failed[0] if failed else max((step.exit_status for step in self.steps), default=0)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "task_id": to_hex(self.task_id),
            "passed": self.passed,
            "exit_status": self.exit_status,
            "steps": [step.to_json() for step in self.steps],
        }

    def to_text(self) -> str:
        """A line per step and a verdict."""
        lines = [
            f"  {step.number} {_MARKS[step.outcome]:<6} {step.title}: {step.sentence}" for step in self.steps
        ]
        return "\n".join([f"Audit of task {to_hex(self.task_id)}", *lines, self._verdict()])

    def _verdict(self) -> str:
        failed = [str(step.number) for step in self.steps if step.outcome is Outcome.FAILED]
        lacking = [str(step.number) for step in self.steps if step.outcome is Outcome.LACKING]
        if failed:
            return f"Verdict: step {', '.join(failed)} failed."
        if lacking:
            return f"Verdict: nothing failed, but step {', '.join(lacking)} could not be done."
        return f"Verdict: all {len(self.steps)} steps passed."
