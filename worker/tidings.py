"""What the chain's events mean for this worker's own tasks, in the words that `why` will print."""

from protocol import lifecycle
from protocol.currency import Currency
from protocol.lifecycle import RefundReason
from worker.codes import Reason
from worker.task import Task
from worker.words import shown_end


def told(event: lifecycle.Event, me: str, task: Task | None, currency: Currency) -> Reason | None:
    """None where the event is nothing to this worker. `task` is as the event left it."""
    if task is None or not task.mine:
        return None
    match event:
        case lifecycle.TaskRefunded():
            return _refunded(event)
        case lifecycle.ResultPosted() if task.holder == me:
            return Reason("POST-002", f"in block {event.at.block_number}")
        case lifecycle.TaskSettled() if event.worker == me:
            return Reason("SETTLE-002", f"paid {currency.show(event.paid_units)}")
        case lifecycle.LeaseLapsed() if event.worker == me:
            return Reason("LOST-002", f"bond of {currency.show(event.burned_units)} burned")
        case _:
            return _of_a_round(event, me, task, currency) or _of_a_dispute(event, me, task, currency)


def _refunded(event: lifecycle.TaskRefunded) -> Reason:
    match event.reason:
        case RefundReason.NO_QUORUM:
            return Reason("ROUND-005", "no verdict had the quorum")
        case RefundReason.UNANSWERED:
            return Reason("LOST-004", "refunded: a demand was not answered in time")
        case RefundReason.FAULTY:
            return Reason("LOST-005", "refunded: the arbiter found the result faulty")
        case _:
            return Reason("END-001", "refunded to the requester")


def _of_a_round(event: lifecycle.Event, me: str, task: Task, currency: Currency) -> Reason | None:
    match event:
        case lifecycle.ResultCommitted() if event.worker == me:
            return Reason("COMMIT-002", f"in block {event.at.block_number}")
        case lifecycle.ResultRevealed() if event.worker == me:
            return Reason("REVEAL-002", f"in block {event.at.block_number}")
        case lifecycle.CommitmentBurned() if event.worker == me:
            return Reason("LOST-003", f"bond of {currency.show(event.burned_units)} burned")
        case lifecycle.RoundWon() if task.seat_of(me) is not None:
            return Reason("ROUND-003", f"{event.winners} of {task.request.replicas} agree")
        case lifecycle.RoundWon() if not task.held_before:
            return Reason("ROUND-004", f"{event.winners} others agree; bond returned")
        case lifecycle.SeatPaid() if event.worker == me and event.paid_units:
            return Reason("SETTLE-002", f"paid {currency.show(event.paid_units)}")
        case _:
            return None


def _of_a_dispute(event: lifecycle.Event, me: str, task: Task, currency: Currency) -> Reason | None:
    match event:
        case lifecycle.BondSlashed() if event.worker == me:
            lost = event.to_challenger_units + event.to_arbiter_units + event.burned_units
            code = "LOST-005" if event.to_challenger_units else "LOST-004"
            return Reason(code, f"bond of {currency.show(lost)} lost")
        case lifecycle.LeafDemanded() if task.answered_for_by(me):
            return Reason(
                "DEMAND-001",
                f"leaf {event.leaf}, to be shown until {shown_end(event.until, event.at.timestamp)}",
            )
        case lifecycle.LeafAnswered() if task.answered_for_by(me):
            return Reason("DEMAND-002", f"leaf {event.leaf}; fee {currency.show(event.paid_units)}")
        case lifecycle.TaskChallenged() if task.answered_for_by(me):
            end = shown_end(event.until, event.at.timestamp)
            return Reason("DISPUTE-001", f"by {event.challenger}; a ruling comes until {end}")
        case lifecycle.ChallengeLost() if task.answered_for_by(me):
            return Reason(
                "DISPUTE-003", f"{currency.show(event.to_each_units)} of the challenger's bond earned"
            )
        case _:
            return None
