"""The model's calls about results that somebody doubts: demands and their answers, challenges and rulings."""

from collections.abc import Sequence

from tests.contracts.law.book import ENDED, Faults, Refused, State, Task
from tests.contracts.law.replicas import Replicas


class Market(Replicas):
    """The whole law. A call either changes the book or raises Refused and changes nothing."""

    def demand(self, caller: str, task_id: bytes, leaf: int, value: int) -> None:
        faults = Faults()
        self._note_value(faults, value)
        task = self._in_state(task_id, State.POSTED, State.DISPUTED, also=faults)
        window_end = task.until if task.state == State.POSTED else task.window_end
        faults.note(self.now > window_end, "WindowEnded")
        faults.note(leaf >= task.leaves, "NoSuchLeaf")
        faults.note(leaf in task.demanded, "AlreadyDemanded")
        self._take(faults, caller, value, self.law.demand_fee)
        task.demanded.add(leaf)
        task.demands[leaf] = (caller, self.now + self.law.answer_time)

    def answer(self, task_id: bytes, leaf: int, reasons: Sequence[str]) -> None:
        """`reasons`: what is wrong with the evidence."""
        task = self._demanded(task_id, leaf)
        faults = Faults()
        faults.note(self.now > task.demands[leaf][1], "AnswerTimeOver")
        faults.reasons.update(reasons)
        faults.settle()
        del task.demands[leaf]
        winners = task.winners
        each = self.law.demand_fee // len(winners)
        for winner in winners:
            self.account(winner).free += each
        self.burned += self.law.demand_fee - each * len(winners)

    def lapse_demand(self, task_id: bytes, leaf: int) -> None:
        task = self._demanded(task_id, leaf)
        if self.now <= task.demands[leaf][1]:
            raise Refused(["AnswerTimeRunning"])
        self._return_fee(task, leaf)
        for winner in task.winners:
            self.burn_bond(winner, self.bond(task))
        self.refund(task)

    def close_demand(self, task_id: bytes, leaf: int) -> None:
        faults = Faults()
        faults.note(not self._waits(task_id, leaf), "NoDemand")
        task = self._in_state(task_id, *ENDED, also=faults)
        faults.settle()
        self._return_fee(task, leaf)

    def challenge(self, caller: str, task_id: bytes, value: int) -> None:
        faults = Faults()
        self._note_value(faults, value)
        task = self._in_state(task_id, State.POSTED, also=faults)
        faults.note(self.now > task.until, "WindowEnded")
        self._take(faults, caller, value, self.law.challenge_bond)
        task.challenger, task.challenge_bond = caller, self.law.challenge_bond
        task.window_end = task.until
        task.state, task.until = State.DISPUTED, self.now + self.law.arbiter_timeout

    def rule(self, caller: str, task_id: bytes, is_faulty: bool) -> None:
        task = self._in_state(task_id, State.DISPUTED)
        faults = Faults()
        faults.note(caller != self.law.arbiter, "NotArbiter")
        faults.note(self.now > task.until, "RulingTooLate")
        faults.note(bool(task.demands), "DemandsOpen")
        faults.settle()
        if is_faulty:
            self._slash(task)
            self.refund(task)
        else:
            self._lose_challenge(task)
            self.settle(task)

    def timeout(self, task_id: bytes) -> None:
        task = self._in_state(task_id, State.DISPUTED)
        faults = Faults()
        faults.note(self.now <= task.until, "RulingTimeRunning")
        faults.note(bool(task.demands), "DemandsOpen")
        faults.settle()
        self.return_challenge(task)
        self.settle(task)

    # ------------------------------------------------------------------------------------------------- parts

    def _take(self, faults: Faults, caller: str, value: int, amount: int) -> None:
        credit = value // self.law.unit
        faults.note(amount > self.account(caller).free + credit, "InsufficientFree")
        faults.settle()
        self.account(caller).free += credit - amount

    def _waits(self, task_id: bytes, leaf: int) -> bool:
        task = self.task(task_id)
        return task is not None and leaf in task.demands

    def _demanded(self, task_id: bytes, leaf: int) -> Task:
        """A task with a result, and a demand of that leaf that waits."""
        faults = Faults()
        faults.note(not self._waits(task_id, leaf), "NoDemand")
        task = self._in_state(task_id, State.POSTED, State.DISPUTED, also=faults)
        faults.settle()
        return task

    def _return_fee(self, task: Task, leaf: int) -> None:
        demander, _ = task.demands.pop(leaf)
        self.account(demander).free += self.law.demand_fee

    def _slash(self, task: Task) -> None:
        bond = self.bond(task)
        for winner in task.winners:
            self.unlock(winner, bond, 0)
            self.account(task.challenger).free += bond // 2
            self.account(self.law.arbiter).free += bond // 4
            self.burned += bond - bond // 2 - bond // 4

    def _lose_challenge(self, task: Task) -> None:
        bond, task.challenge_bond = task.challenge_bond, 0
        each = bond // 2 // len(task.winners)
        for winner in task.winners:
            self.account(winner).free += each
        self.account(self.law.arbiter).free += bond // 4
        self.burned += bond - each * len(task.winners) - bond // 4
