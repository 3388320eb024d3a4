"""Replay: demands, challenges and rulings."""

from dataclasses import replace
from functools import singledispatchmethod

from protocol.books import ImpossibleHistory, require
from protocol.events import (
    BondSlashed,
    ChallengeLost,
    ChallengeReturned,
    DemandClosed,
    DemandLapsed,
    Event,
    LeafAnswered,
    LeafDemanded,
    TaskChallenged,
    TaskRuled,
)
from protocol.evidence import leaf_count, leaf_length
from protocol.lifecycle import DemandView, TaskView
from protocol.money import LostChallenge, Slash, demand_share, lost_challenge, slash
from protocol.replay_state import ANSWERABLE, ENDED, ReplayState
from protocol.states import DemandState, SeatState, TaskState


class DisputeSteps(ReplayState):
    """Each step raises ImpossibleHistory."""

    @singledispatchmethod
    def _dispute_step(self, event: Event) -> None:
        """Events of other kinds are for other steps."""

    @_dispute_step.register
    def _demand(self, event: LeafDemanded) -> None:
        task = self._in_state(event.task_id, *ANSWERABLE)
        key = (event.task_id, event.leaf)
        new = key not in self._demands and event.leaf < leaf_count(task.output_tokens)
        require(new, "demand", event.leaf, "no such leaf, or demanded before")
        fee = self._parameters.demand_fee_units
        self._books.debit(event.demander, fee)
        self._demands[key] = DemandView(event.demander, event.until, fee)
        self._put(replace(task, open_demands=task.open_demands + 1))

    @_dispute_step.register
    def _answer(self, event: LeafAnswered) -> None:
        task = self._in_state(event.task_id, *ANSWERABLE)
        demand = self._open_demand(event.task_id, event.leaf)
        expected = leaf_length(task.output_tokens, event.leaf)
        require(len(event.tokens) == expected, "answer", len(event.tokens), f"the leaf has {expected} tokens")
        share = demand_share(demand.fee_units, len(task.winners))
        require((event.paid_units, event.burned_units) == share, "answer", event.paid_units, f"due {share}")
        for winner in task.winners:
            self._books.credit(winner, event.paid_units)
        self._books.burn(event.burned_units)
        self._end_demand(task, event.leaf, DemandState.ANSWERED, event.tokens)

    @_dispute_step.register
    def _lapse_demand(self, event: DemandLapsed) -> None:
        task = self._in_state(event.task_id, *ANSWERABLE)
        self._return_fee(event)
        self._unanswered.add(event.task_id)
        self._end_demand(task, event.leaf, DemandState.LAPSED)

    @_dispute_step.register
    def _close_demand(self, event: DemandClosed) -> None:
        task = self._in_state(event.task_id, *ENDED)
        self._return_fee(event)
        self._end_demand(task, event.leaf, DemandState.CLOSED)

    @_dispute_step.register
    def _challenge(self, event: TaskChallenged) -> None:
        task = self._in_state(event.task_id, TaskState.POSTED)
        bond = self._parameters.challenge_bond_units
        require(event.bond_total_units == bond, "challenge", event.bond_total_units, f"the bond is {bond}")
        self._books.debit(event.challenger, bond)
        self._put(
            replace(
                task,
                state=TaskState.DISPUTED,
                until=event.until,
                challenger=event.challenger,
                challenge_bond_units=bond,
            )
        )

    @_dispute_step.register
    def _rule(self, event: TaskRuled) -> None:
        task = self._in_state(event.task_id, TaskState.DISPUTED)
        free = task.faulty is None and not task.open_demands
        require(free, "ruling", event.task_id, "it was ruled already, or demands were open")
        self._put(replace(task, faulty=event.faulty))

    @_dispute_step.register
    def _slash(self, event: BondSlashed) -> None:
        task = self._in_state(event.task_id, *ANSWERABLE)
        bond = self._bond(task)
        if task.faulty:
            due = slash(bond)
        else:
            unanswered = task.task_id in self._unanswered
            require(unanswered, "bond", event.worker, "neither a ruling nor a demand took it")
            due = Slash(0, 0, bond)
        found = Slash(event.to_challenger_units, event.to_arbiter_units, event.burned_units)
        require(found == due, "bond", event.worker, f"{tuple(found)} of it went away, due is {tuple(due)}")
        self._books.forfeit(event.worker, bond)
        if due.to_challenger_units:
            self._books.credit(task.challenger, due.to_challenger_units)
        if due.to_arbiter_units:
            self._books.credit(self._parameters.arbiter, due.to_arbiter_units)
        self._books.burn(due.burned_units)
        self._put(self._move_seat(task, event.worker, SeatState.WON, state=SeatState.BURNED, bonded=False))

    @_dispute_step.register
    def _return_challenge(self, event: ChallengeReturned) -> None:
        task = self._in_state(event.task_id, TaskState.DISPUTED)
        held = (task.challenger, task.challenge_bond_units)
        due = task.faulty is not False and held == (event.challenger, event.bond_total_units)
        require(due and held[1] > 0, "challenge", event.challenger, f"held is {held[1]} of {held[0]}")
        self._books.credit(event.challenger, event.bond_total_units)
        self._put(replace(task, challenge_bond_units=0))

    @_dispute_step.register
    def _lose_challenge(self, event: ChallengeLost) -> None:
        task = self._in_state(event.task_id, TaskState.DISPUTED)
        lost = task.faulty is False and task.challenge_bond_units > 0
        require(
            lost and event.challenger == task.challenger, "challenge", event.challenger, "it was not lost"
        )
        due = lost_challenge(task.challenge_bond_units, len(task.winners))
        found = LostChallenge(event.to_each_units, event.to_arbiter_units, event.burned_units)
        require(
            found == due, "challenge", event.challenger, f"{tuple(found)} of it went, due is {tuple(due)}"
        )
        for winner in task.winners:
            self._books.credit(winner, due.to_each_units)
        self._books.credit(self._parameters.arbiter, due.to_arbiter_units)
        self._books.burn(due.burned_units)
        self._put(replace(task, challenge_bond_units=0))

    def _open_demand(self, task_id: bytes, leaf: int) -> DemandView:
        demand = self._demands.get((task_id, leaf))
        if demand is None or demand.state is not DemandState.OPEN:
            raise ImpossibleHistory("demand", leaf, "it is not open")
        return demand

    def _return_fee(self, event: DemandLapsed | DemandClosed) -> None:
        demand = self._open_demand(event.task_id, event.leaf)
        held = (demand.demander, demand.fee_units)
        require((event.demander, event.fee_units) == held, "demand", event.leaf, f"{held[1]} of {held[0]}")
        self._books.credit(event.demander, event.fee_units)

    def _end_demand(
        self, task: TaskView, leaf: int, state: DemandState, tokens: tuple[int, ...] = ()
    ) -> None:
        key = (task.task_id, leaf)
        self._demands[key] = replace(self._demands[key], state=state, tokens=tokens)
        self._put(replace(task, open_demands=task.open_demands - 1))
