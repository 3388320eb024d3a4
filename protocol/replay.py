"""Replays the market's events into tasks and balances; refuses a history the contract could not have made.

Every event moves its own money and keeps the sum; what an amount should have been is judged when the event that
ends the task or the round says how it ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.books import AccountView, ImpossibleHistory
from protocol.events import Event
from protocol.lifecycle import DemandView, TaskView
from protocol.parameters import Parameters
from protocol.replay_disputes import DisputeSteps
from protocol.replay_endings import EndingSteps
from protocol.replay_rounds import RoundSteps
from protocol.replay_state import escrow_left
from protocol.replay_tasks import TaskSteps
from protocol.states import DemandState


@dataclass(frozen=True, slots=True)
class Totals:
    """UNITs. What came in and stayed is what the market holds: deposited - withdrawn = held, always."""

    deposited_units: int
    withdrawn_units: int
    free_units: int
    locked_units: int
    escrow_units: int
    challenge_bond_units: int
    demand_fee_units: int
    burned_units: int

    @property
    def held_units(self) -> int:
        return (
            self.free_units
            + self.locked_units
            + self.escrow_units
            + self.challenge_bond_units
            + self.demand_fee_units
            + self.burned_units
        )


@dataclass(frozen=True, slots=True)
class MarketView:
    """`batches`: root to (worker, number of receipts). `demands` by task and leaf. `revoked`: ids that will never be
    tasks, to their requesters. Tasks are in the order of submission.
    """

    tasks: dict[bytes, TaskView]
    accounts: dict[str, AccountView]
    batches: dict[bytes, tuple[str, int]]
    demands: dict[tuple[bytes, int], DemandView]
    revoked: dict[bytes, str]
    totals: Totals


def replay(events: Iterable[Event], parameters: Parameters) -> MarketView:
    """State after `events`, which must be all of the market's, in order.

    Raises ImpossibleHistory.
    """
    market = MarketReplay(parameters)
    for event in events:
        market.apply(event)
    return market.view()


class MarketReplay(TaskSteps, RoundSteps, DisputeSteps, EndingSteps):
    """Feeds on events one by one; `view()` is the state so far."""

    def apply(self, event: Event) -> None:
        """Announcements, indexes, skips, votes and inversions move no task and no money of the market.

        Raises ImpossibleHistory if the contract could not have emitted `event` here.
        """
        self._task_step(event)
        self._round_step(event)
        self._dispute_step(event)
        self._ending_step(event)

    def view(self) -> MarketView:
        books, tasks = self._books, self._tasks.values()
        open_fees = (
            demand.fee_units for demand in self._demands.values() if demand.state is DemandState.OPEN
        )
        totals = Totals(
            deposited_units=books.deposited_units,
            withdrawn_units=books.withdrawn_units,
            free_units=books.free_units,
            locked_units=books.locked_units,
            escrow_units=sum(escrow_left(task) for task in tasks if task.live),
            challenge_bond_units=sum(task.challenge_bond_units for task in tasks),
            demand_fee_units=sum(open_fees),
            burned_units=books.burned_units,
        )
        return MarketView(
            tasks=dict(self._tasks),
            accounts=books.accounts(),
            batches=dict(self._batches),
            demands=dict(self._demands),
            revoked=dict(self._revoked),
            totals=totals,
        )


__all__ = ["AccountView", "ImpossibleHistory", "MarketReplay", "MarketView", "Totals", "replay"]
