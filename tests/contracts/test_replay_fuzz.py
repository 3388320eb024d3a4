"""What the events tell is what the market stores, after any calls that the fuzzer of the law can think of."""

from collections import Counter
from copy import deepcopy

import pytest
from eth_abi.abi import decode
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from chain.bindings import EVENTS
from protocol.lifecycle import Deposited, Place, SeatState, TaskState
from protocol.parameters import Parameters
from protocol.replay import MarketReplay
from tests.contracts.law.fuzz import WholeMarket
from tests.contracts.law.world import FUNDS_UNITS

SEED = 1
COMPARE_EVERY = 12
ENDED = (TaskState.SETTLED, TaskState.REFUNDED)


class ToldMarket(WholeMarket):
    """The fuzzer's market, its logs replayed call by call."""

    def __init__(self):
        super().__init__()
        law = self.world.law
        self.replay = MarketReplay(
            Parameters(
                window_secs=law.window,
                answer_time_secs=law.answer_time,
                arbiter_timeout_secs=law.arbiter_timeout,
                min_lease_secs=law.min_lease,
                max_life_secs=law.max_life,
                inversion_grace_secs=5,
                bond_unit_units=law.bond_unit,
                challenge_bond_units=law.challenge_bond,
                demand_fee_units=law.demand_fee,
                age_rate_wei=10**9,
                arbiter=law.arbiter,
            )
        )
        for who in self.world.actors:
            self.replay.apply(Deposited(self.place(), who, FUNDS_UNITS))
        self.told = 0
        self.looked = 0
        self.do = self.world.do
        self.world.do = self.tell  # type: ignore[method-assign]

    def mark_block(self):
        super().mark_block()
        self.replay_of_mark = deepcopy(self.replay)

    def go_back(self, mark):
        super().go_back(mark)
        self.replay = self.replay_of_mark

    def place(self):
        return Place(1, bytes(32), bytes(32), 0, self.world.machine.now)

    def tell(self, name, caller, arguments, law, value=0):
        outcome, expected = self.do(name, caller, arguments, law, value)
        for _, topics, data in outcome.logs:
            self.replay.apply(EVENTS[topics[0]](self.place(), topics, data))
            self.told += 1
        totals = self.replay.view().totals
        assert totals.held_units == totals.deposited_units - totals.withdrawn_units
        assert totals.held_units * self.world.law.unit + self.world.forced == self.world.held()
        return outcome, expected

    @invariant()
    def is_told(self):
        self.looked += 1
        if self.looked % COMPARE_EVERY == 0:
            self.compare()

    def teardown(self):
        super().teardown()
        if self._checked == self.world.calls:
            self.compare()

    def compare(self):
        view = self.replay.view()
        for holder, account in view.accounts.items():
            stored = self.world.machine.view(self.world.market, self.world.abi.data("account", holder))
            free, locked, _ = decode(["uint96", "uint96", "uint32"], stored)
            assert (free, locked) == (account.free_units, account.locked_units)
        for one in view.tasks.values():
            task = self.book.task(one.task_id)
            assert task is not None
            assert (one.state, one.output_tokens) == (int(task.state), task.tokens)
            if one.state in ENDED:
                continue
            assert (one.until, one.open_demands, one.tip_units) == (task.until, len(task.demands), task.tip)
            if one.replicated:
                kept = {seat.worker: seat.state for seat in task.seats if int(seat.state) != SeatState.EMPTY}
                assert {seat.worker: int(seat.state) for seat in one.seats} == kept
        assert view.revoked.keys() == set(self.book.revoked)


@pytest.mark.slow
def test_replay_and_storage_agree_whatever_is_called():
    tally: Counter[str] = Counter()
    machine = type("Told", (ToldMarket,), {"currency": "ether", "tally": tally})
    chosen = settings(
        max_examples=15,
        stateful_step_count=100,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(SEED)(machine), settings=chosen)
    told = {name for name in tally if name[0].isupper()}
    assert {"TaskSettled", "SeatPaid", "LeafDemanded", "TaskChallenged", "TaskRefunded"} <= told, sorted(told)
