"""What to do next in a round of replicas, from the own commitment to the count of the verdicts; pure."""

from protocol.lifecycle import SeatState
from worker.actions import Act, Action
from worker.artefacts import Artefact, Stage
from worker.codes import Reason
from worker.policy import Clock, Policy
from worker.task import Task


def for_round(task: Task, me: str, artefact: Artefact, clock: Clock, policy: Policy) -> Action | None:
    """The next step of a replicated task this worker has committed to."""
    if artefact.under_way is not None:
        return None
    if not task.until:
        return _before_reveal(task, me, artefact, clock, policy)
    seat = task.seat_of(me)
    if seat is not None and seat.state is SeatState.COMMITTED and clock.chain_secs <= task.until:
        return _for_reveal(task, artefact, clock, policy)
    since = task.round_at if task.all_revealed else task.until + 1
    if clock.wall_secs < artefact.retry_at or not _is_turn(task, me, since, clock, policy):
        return for_won(task, artefact, clock)
    said = "all have revealed" if task.all_revealed else "the time to reveal is over"
    return Action(Act.CLOSE_ROUND, task.id, Reason("ROUND-002", said))


def for_won(task: Task, artefact: Artefact, clock: Clock) -> Action | None:
    """What was revealed while the store was away goes there as soon as it is back."""
    over = clock.chain_secs > task.until or artefact.under_way is not None or bool(task.demands)
    if over or artefact.stage is not Stage.SEALED or clock.wall_secs < artefact.retry_at:
        return None
    return Action(Act.PUBLISH, task.id)


def _before_reveal(task: Task, me: str, artefact: Artefact, clock: Clock, policy: Policy) -> Action | None:
    """Others still compute. The deadline ends that: with a quorum of commitments by the reveal, else by a refund."""
    since = task.request.deadline + 1
    if clock.wall_secs < artefact.retry_at or not _is_turn(task, me, since, clock, policy):
        return None
    if task.has_quorum:
        said = f"{task.committed} of {task.request.replicas} committed before the deadline"
        return Action(Act.OPEN_REVEAL, task.id, Reason("ROUND-001", said))
    said = f"only {task.committed} of {task.request.replicas} committed before the deadline"
    return Action(Act.EXPIRE, task.id, Reason("ROUND-006", said))


def _for_reveal(task: Task, artefact: Artefact, clock: Clock, policy: Policy) -> Action | None:
    """Into the store first, where what is revealed must be found; but no store may cost the bond."""
    if artefact.stage not in {Stage.SEALED, Stage.STORING, Stage.SAVED}:
        return alert_once(task, artefact, Reason("LOST-003", "what was committed to is not here any more"))
    reveal = Action(Act.REVEAL, task.id, Reason("REVEAL-001", "the reveal is open"))
    if artefact.stage is Stage.SAVED:
        return reveal if clock.wall_secs >= artefact.retry_at else None
    if task.until - clock.chain_secs <= policy.spare_secs:
        return reveal
    if artefact.stage is Stage.SEALED and clock.wall_secs >= artefact.retry_at:
        return Action(Act.PUBLISH, task.id)
    return None


def _is_turn(task: Task, me: str, since: int, clock: Clock, policy: Policy) -> bool:
    """The first seat at once, each other somewhat after the one before it: nobody pays for a call made twice."""
    return clock.chain_secs >= since + policy.turn_secs * task.place_of(me)


def alert_once(task: Task, artefact: Artefact, reason: Reason) -> Action | None:
    return None if artefact.alerted else Action(Act.ALERT, task.id, reason)
