"""What a replay keeps of a market, and the moves that its steps share."""

from dataclasses import replace

from protocol.books import Books, ImpossibleHistory, require
from protocol.lifecycle import DemandView, SeatView, TaskView
from protocol.money import bond_units_total, charge_units, escrow_units
from protocol.parameters import Parameters
from protocol.states import SeatState, TaskState

WAITING = (TaskState.OPEN, TaskState.LEASED)
ANSWERABLE = (TaskState.POSTED, TaskState.DISPUTED)
ENDED = (TaskState.SETTLED, TaskState.REFUNDED)


class ReplayState:
    """Tasks, demands and books so far."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._books = Books()
        self._tasks: dict[bytes, TaskView] = {}
        self._batches: dict[bytes, tuple[str, int]] = {}
        self._demands: dict[tuple[bytes, int], DemandView] = {}
        self._unanswered: set[bytes] = set()
        self._revoked: dict[bytes, str] = {}

    def task(self, task_id: bytes) -> TaskView:
        """Raises ImpossibleHistory for a task never submitted."""
        found = self._tasks.get(task_id)
        if found is None:
            raise ImpossibleHistory("task", task_id, "an event names a task that was never submitted")
        return found

    def _in_state(self, task_id: bytes, *states: TaskState) -> TaskView:
        task = self.task(task_id)
        wanted = " or ".join(state.name for state in states)
        require(task.state in states, "task", task_id, f"it is {task.state.name}, the event needs {wanted}")
        return task

    def _put(self, task: TaskView) -> None:
        self._tasks[task.task_id] = task

    def _bond(self, task: TaskView) -> int:
        return bond_units_total(task.request.bond_units, self._parameters.bond_unit_units)

    def _charge(self, task: TaskView, output_tokens: int) -> int:
        request = task.request
        return charge_units(
            request.max_fee_units, request.flat_percent, output_tokens, request.max_output_tokens
        )

    def _bonded_seat(self, task: TaskView, worker: str) -> SeatView:
        seat = next((seat for seat in task.seats if seat.worker == worker and seat.bonded), None)
        if seat is None:
            raise ImpossibleHistory("seat", worker, "it has no bond in this task")
        return seat

    def _move_seat(self, task: TaskView, worker: str, needed: SeatState, **changes: object) -> TaskView:
        seat = self._bonded_seat(task, worker)
        require(
            seat.state is needed, "seat", worker, f"it is {seat.state.name}, the event needs {needed.name}"
        )
        moved = replace(seat, **changes)  # type: ignore[arg-type]
        return replace(task, seats=tuple(moved if item is seat else item for item in task.seats))

    def _require_no_bond(self, task: TaskView) -> None:
        bonded = [seat.worker for seat in task.seats if seat.bonded]
        require(not bonded, "bond", task.task_id, f"still locked: {', '.join(bonded)}")

    @staticmethod
    def _require_tokens(task: TaskView, output_tokens: int) -> None:
        most = task.request.max_output_tokens
        require(output_tokens <= most, "output tokens", output_tokens, f"the request allows {most}")


def escrow(task: TaskView) -> int:
    return escrow_units(task.request.max_fee_units, task.request.replicas, task.tip_units)


def seats_paid(task: TaskView) -> int:
    return sum(seat.paid_units for seat in task.seats) if task.replicated else 0


def escrow_left(task: TaskView) -> int:
    return escrow(task) - seats_paid(task)
