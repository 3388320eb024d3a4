"""What doubters, answerers and the arbiter do."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.contracts.law import forms
from tests.contracts.law.book import ENDED, State
from tests.contracts.law.machine import ACTOR, OTHER, PICK, MarketMachine

LEAF = st.integers(0, 3)
POSTED = (State.POSTED, State.DISPUTED)


class DisputeRules(MarketMachine):
    """Demands, their answers and lapses; challenges, rulings and the arbiter's silence."""

    @rule(pick=PICK, who=ACTOR, leaf=LEAF, value=st.integers(0, 6))
    def demand(self, pick: int, who: int, leaf: int, value: int) -> None:
        task_id, caller = self.pick(pick, *POSTED), self.actor(who)
        wei = self._value_of(self.world.law.demand_fee, value)
        self.world.do(
            "demand", caller, (task_id, leaf), lambda: self.book.demand(caller, task_id, leaf, wei), wei
        )
        self.world.touch(task_id)

    @rule(
        pick=PICK, who=ACTOR, leaves=st.integers(0, 3), answers=st.integers(0, 3), is_challenged=st.booleans()
    )
    def doubts(self, pick: int, who: int, leaves: int, answers: int, is_challenged: bool) -> None:
        """One doubter takes all there is against a result, and somebody answers some of it."""
        for leaf in range(leaves):
            self.demand(pick, who, leaf, 1)
        for leaf in range(answers):
            self.answer(pick, who, leaf, 0)
        if is_challenged:
            self.challenge(pick, who, 1)

    @rule(pick=PICK, who=ACTOR, leaf=LEAF, flavour=st.sampled_from((0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7)))
    def answer(self, pick: int, who: int, leaf: int, flavour: int) -> None:
        task_id = self.pick(pick, *POSTED)
        task, works = self.book.task(task_id), self.works.get(task_id, {})
        winners = [winner for winner in task.winners if winner in works] if task else []
        if task is None or not winners:
            return
        waiting = sorted(task.demands)
        leaf = waiting[leaf % len(waiting)] if waiting else leaf
        shown = forms.evidence(
            works[winners[pick % len(winners)]], leaf, self.paths.get(task_id, ()), flavour
        )
        why = forms.evidence_faults(self.world.domain, task_id, task, leaf, shown, list(self.book.batches))
        self.world.do(
            "answer",
            self.actor(who),
            (task_id, leaf, shown.as_tuple()),
            lambda: self.book.answer(task_id, leaf, sorted(why)),
        )
        self.world.touch(task_id)

    @rule(pick=PICK, who=ACTOR, leaf=LEAF)
    def lapse_demand(self, pick: int, who: int, leaf: int) -> None:
        task_id, leaf = self._demanded(pick, leaf, POSTED)
        self.world.do(
            "lapseDemand", self.actor(who), (task_id, leaf), lambda: self.book.lapse_demand(task_id, leaf)
        )
        self.world.touch(task_id)

    @rule(pick=PICK, who=ACTOR, leaf=LEAF)
    def close_demand(self, pick: int, who: int, leaf: int) -> None:
        task_id, leaf = self._demanded(pick, leaf, ENDED)
        self.world.do(
            "closeDemand", self.actor(who), (task_id, leaf), lambda: self.book.close_demand(task_id, leaf)
        )
        self.world.touch(task_id)

    @rule(pick=PICK, who=ACTOR, value=st.integers(0, 6))
    def challenge(self, pick: int, who: int, value: int) -> None:
        task_id, caller = self.pick(pick, State.POSTED), self.actor(who)
        wei = self._value_of(self.world.law.challenge_bond, value)
        self.world.do("challenge", caller, (task_id,), lambda: self.book.challenge(caller, task_id, wei), wei)
        self.world.touch(task_id)

    @rule(pick=PICK, who=ACTOR, is_other=OTHER, is_faulty=st.booleans())
    def rule_on(self, pick: int, who: int, is_other: bool, is_faulty: bool) -> None:
        task_id = self.pick(pick, State.DISPUTED)
        caller = self.actor(who) if is_other else self.world.arbiter
        self.world.do(
            "rule", caller, (task_id, is_faulty), lambda: self.book.rule(caller, task_id, is_faulty)
        )
        self.world.touch(task_id)

    @rule(pick=PICK, who=ACTOR)
    def time_out(self, pick: int, who: int) -> None:
        task_id = self.pick(pick, State.DISPUTED)
        self.world.do("timeout", self.actor(who), (task_id,), lambda: self.book.timeout(task_id))
        self.world.touch(task_id)

    def _value_of(self, amount: int, kind: int) -> int:
        """Paid along with the call, from the balance, or a wei that is no UNIT."""
        sent = 0 if self.world.token else amount * self.world.law.unit
        return {1: sent, 2: 1}.get(kind, 0)

    def _demanded(self, pick: int, leaf: int, states: tuple[State, ...]) -> tuple[bytes, int]:
        """A task with a demand that waits, if there is one in these states."""
        waiting = [
            (task_id, open_leaf)
            for task_id in list(self.requests)[-20:]
            if (task := self.book.task(task_id)) is not None and task.state in states
            for open_leaf in task.demands
        ]
        return waiting[pick % len(waiting)] if waiting else (self.pick(pick, *states), leaf)
