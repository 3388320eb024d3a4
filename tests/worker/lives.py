"""Lives of a worker that is killed again and again: for each step, one in which it comes about and ends well."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from chain.call import Call as MarketCall
from chain.devnet import dev_account
from chain.sender import Sender
from protocol import lifecycle
from protocol.equivalence import EquivalenceClass
from protocol.lifecycle import TaskState
from protocol.money import charge_units, winner_units
from protocol.request import Request
from tests.worker.conftest import running
from tests.worker.harness import (
    DEPOSIT_UNITS,
    OPERATOR,
    PASSWORD,
    PROCESSES,
    MarketPlace,
    Point,
    WorkerProcess,
    arm,
    around,
    chats,
    codes,
    eventually,
)
from worker import control
from worker.artefacts import Call
from worker.config import WorkerConfig
from worker.database import Database
from worker.report import status
from worker.steps import OF_A_CALL, Moment, Step

FAKES = EquivalenceClass({"engine": "fake"})
BEFORE, AFTER = Moment
ONCE = (lifecycle.TaskClaimed, lifecycle.ResultPosted, lifecycle.TaskSettled)
STRANGER = "0x" + "00" * 19 + "77"


@dataclass
class Victim:
    """A worker that is killed again and again. Until it dies, or is looked for, blocks come, and only then."""

    place: MarketPlace
    spawn: Callable[..., WorkerProcess]
    config: WorkerConfig
    rivals: ExitStack
    died_at: set[Point] = field(default_factory=set)

    def __post_init__(self) -> None:
        # So that there is a time between being mined and counting.
        chain = self.config.chain.model_copy(update={"confirmations": 1})
        self.config = self.config.model_copy(update={"chain": chain})
        self.place.rpc.call("evm_setAutomine", False)

    def change(self, section: str, **values: object) -> None:
        """A setting, from the next start on."""
        changed = getattr(self.config, section).model_copy(update=values)
        self.config = self.config.model_copy(update={section: changed})

    def mine(self) -> None:
        self.place.rpc.call("evm_mine")

    @contextmanager
    def hands(self) -> Iterator[MarketPlace]:
        """What is sent inside is mined at once."""
        self.place.rpc.call("evm_setAutomine", True)
        try:
            yield self.place
        finally:
            self.place.rpc.call("evm_setAutomine", False)

    def submit(self, *requests: Request) -> list[bytes]:
        with self.hands() as place:
            return place.submit(*requests)

    def send(self, sender: Sender, *calls: MarketCall) -> None:
        with self.hands():
            for call in calls:
                assert sender.send_and_wait(call).success

    def dies_at(
        self, *points: Point, blocks: bool = True, meanwhile: Callable[[WorkerProcess], object] | None = None
    ) -> None:
        for point in points:
            process = self.spawn(self.config, point)
            if meanwhile is not None:
                meanwhile(process)
            self.awaits(partial(getattr, process, "ended"), f"it gets to {point}", blocks=blocks)
            assert process.wait() == -signal.SIGKILL, point
            self.died_at.add(point)

    def dies_at_every_step_of(self, call: Call) -> None:
        """Blocks come so that each step is there to be killed at: none until the bytes are sent, then one."""
        plan, sign, sent, mined, end, close = (around(step, call=call) for step in OF_A_CALL)
        self.dies_at(*plan, *sign)
        self.dies_at(*sent, blocks=False)
        self.mine()
        self.dies_at(*mined, blocks=False)
        self.dies_at(*end, *close)

    def awaits(self, holds: Callable[[], object], what: str, *, blocks: bool = True) -> None:
        def look() -> bool:
            if blocks:
                self.mine()
            return bool(holds())

        eventually(look, what)

    def works_until(self, holds: Callable[[], object], what: str) -> None:
        """To a good end; then it stops when it is told to."""
        started, process = time.time(), self.spawn(self.config)
        self.awaits(lambda: status(self.config).at > started, "it works")
        self.awaits(holds, what)
        process.terminate()
        self.awaits(lambda: process.ended, "it ends")
        assert process.wait() == 0

    def settles(self, ids: Sequence[bytes]) -> None:
        def done() -> bool:
            self.place.skip_window(ids)
            return status(self.config).settled == len(ids)

        self.works_until(done, "all is settled, and the worker knows it")

    def rival(self, number: int) -> Callable[[], None]:
        """Starts another worker; what it gives back stops it."""
        return self.works_beside(self.hired(number))

    def hired(self, number: int) -> WorkerConfig:
        with self.hands() as place:
            return place.hire(number)[0]

    def works_beside(self, config: WorkerConfig) -> Callable[[], None]:
        return self.rivals.enter_context(stoppable(config))

    def knows(self, one: bytes, code: str) -> bool:
        return code in codes(self.config, one)

    def check_money(self, ids: Sequence[bytes], requests: Sequence[Request], more_units: int = 0) -> None:
        """Paid to the unit, nothing burned, and everything in the store as it was posted."""
        paid = sum(earned_units(self.place, one, each) for one, each in zip(ids, requests, strict=True))
        assert self.place.operator_units() == (DEPOSIT_UNITS + paid + more_units, 0)
        assert self.place.market.burned_units() == 0
        assert status(self.config).earned_units == paid + more_units
        for one in ids:
            assert self.place.output(one).root() == self.place.receipt(one).body.output_root

    def check_once(self, ids: Sequence[bytes], kinds: Sequence[type] = ONCE) -> None:
        """Each of these came about once for each task, by this worker."""
        for kind in kinds:
            assert sorted(event.task_id for event in self.own(kind)) == sorted(ids), kind  # type: ignore[attr-defined]

    def own(self, kind: type) -> list[lifecycle.Event]:
        me = OPERATOR.address
        found = (event for event in self.place.events() if isinstance(event, kind))
        return [event for event in found if getattr(event, "worker", me) == me]


@contextmanager
def stoppable(config: WorkerConfig) -> Iterator[Callable[[], None]]:
    with ExitStack() as stack:
        stack.enter_context(running(config))
        yield stack.close


def earned_units(place: MarketPlace, one: bytes, request: Request) -> int:
    tokens = place.market.task(one).output_tokens
    charge = charge_units(request.max_fee_units, request.flat_percent, tokens, request.max_output_tokens)
    return winner_units(charge, request.tip_units, request.replicas)


# ---- at each step of a transaction


def plain(victim: Victim, call: Call) -> None:
    requests = [victim.place.request(chats(count)) for count in (1, 2)]
    ids = victim.submit(*requests)
    if call is Call.SETTLE:
        victim.dies_at(Point(AFTER, Step.CLOSE, Call.POST))
        victim.place.rpc.call("evm_increaseTime", victim.place.devnet.deployment.parameters.window_secs + 1)
    victim.dies_at_every_step_of(call)
    victim.settles(ids)
    victim.check_money(ids, requests)
    victim.check_once(ids)
    assert len(victim.own(lifecycle.StoreAnnounced)) == 1


def given_back(victim: Victim, call: Call) -> None:
    # Held for less than a twentieth of the lease, however slow the machine: the least is burned.
    place, request = victim.place, victim.place.request(lease_secs=3_000)
    (one,) = victim.submit(request)
    victim.dies_at(Point(BEFORE, Step.NOTE_END, Call.CLAIM))
    (place.home / "store" / request.input_uri).unlink()
    victim.dies_at_every_step_of(call)
    victim.works_until(lambda: victim.knows(one, "CLAIM-008"), "it wants the task no more")
    victim.check_once([one], [lifecycle.TaskClaimed, lifecycle.LeaseReleased])
    burned = place.devnet.deployment.parameters.bond_unit_units * 5 // 100
    assert (place.operator_units(), place.market.burned_units()) == ((DEPOSIT_UNITS - burned, 0), burned)
    assert place.states([one]) == [TaskState.OPEN]


def replicated(place: MarketPlace, **changes: object) -> Request:
    return place.request(chats(2), replicas=3, equivalence=place.put_class(FAKES), **changes)


def of_three(victim: Victim, call: Call) -> None:
    request = replicated(victim.place)
    (one,) = victim.submit(request)
    victim.dies_at(Point(AFTER, Step.NOTE_END, Call.CLAIM))
    stops = [victim.rival(number) for number in (3, 4)]
    victim.dies_at(Point(BEFORE, Step.PLAN, call))
    if call is Call.CLOSE_ROUND:
        for stop in stops:
            # After two seconds the next seat would do it.
            stop()
    victim.dies_at_every_step_of(call)
    victim.settles([one])
    victim.check_money([one], [request])
    victim.check_once([one], [lifecycle.TaskClaimed, lifecycle.ResultCommitted, lifecycle.ResultRevealed])


def of_two(victim: Victim, call: Call) -> None:
    """The third never comes; the deadline passes with a quorum."""
    place = victim.place
    request = replicated(place, deadline=place.rpc.latest().timestamp + 400)
    (one,) = victim.submit(request)
    victim.dies_at(Point(AFTER, Step.CLOSE, Call.COMMIT))
    second = victim.hired(3)
    stop = victim.works_beside(second)
    victim.awaits(lambda: place.market.round(one).committed == 2, "both commitments")
    # After two seconds it would open the reveal.
    stop()
    place.rpc.call("evm_increaseTime", 401)
    victim.dies_at_every_step_of(call)
    victim.works_beside(second)
    victim.settles([one])
    victim.check_money([one], [request])


def alone_in_a_round(victim: Victim, call: Call) -> None:
    place = victim.place
    (one,) = victim.submit(replicated(place, deadline=place.rpc.latest().timestamp + 400))
    victim.dies_at(Point(AFTER, Step.CLOSE, Call.COMMIT))
    place.rpc.call("evm_increaseTime", 401)
    victim.dies_at_every_step_of(call)
    victim.works_until(lambda: place.states([one]) == [TaskState.REFUNDED], "the refund")
    assert (place.operator_units(), place.market.burned_units()) == ((DEPOSIT_UNITS, 0), 0)
    victim.check_once([one], [lifecycle.TaskRefunded])


def called_for(victim: Victim, call: Call) -> None:
    place, request = victim.place, victim.place.request(chats(4))
    (one,) = victim.submit(request)
    victim.dies_at(Point(AFTER, Step.CLOSE, Call.POST))
    fee_units = place.devnet.deployment.parameters.demand_fee_units
    victim.send(place.requester, place.market.demand(one, 1, fee_units))
    victim.dies_at_every_step_of(call)
    victim.settles([one])
    victim.check_money([one], [request], more_units=fee_units)
    victim.check_once([one], [*ONCE, lifecycle.LeafAnswered])


def disputed(victim: Victim, call: Call) -> None:
    """The arbiter is silent."""
    place, request = victim.place, victim.place.request()
    (one,) = victim.submit(request)
    victim.dies_at(Point(AFTER, Step.CLOSE, Call.POST))
    terms = place.devnet.deployment.parameters
    victim.send(place.requester, place.market.challenge(one, terms.challenge_bond_units))
    place.rpc.call("evm_increaseTime", terms.arbiter_timeout_secs + 1)
    victim.dies_at_every_step_of(call)
    victim.works_until(lambda: status(victim.config).settled == 1, "the worker knows it")
    victim.check_money([one], [request])
    victim.check_once([one])


def rich(victim: Victim, call: Call) -> None:
    victim.change("price", withdraw_above_units=DEPOSIT_UNITS // 2)
    victim.dies_at_every_step_of(call)
    victim.works_until(lambda: status(victim.config).running, "it works")
    assert victim.place.operator_units() == (DEPOSIT_UNITS // 2, 0)
    assert len([each for each in victim.place.events() if isinstance(each, lifecycle.Withdrawn)]) == 1


LIFE_OF_A_CALL: dict[Call, Callable[[Victim, Call], None]] = {
    Call.ANNOUNCE: plain,
    Call.CLAIM: plain,
    Call.POST: plain,
    Call.SETTLE: plain,
    Call.RELEASE: given_back,
    Call.COMMIT: of_three,
    Call.REVEAL: of_three,
    Call.CLOSE_ROUND: of_three,
    Call.OPEN_REVEAL: of_two,
    Call.EXPIRE: alone_in_a_round,
    Call.ANSWER: called_for,
    Call.TIMEOUT: disputed,
    Call.WITHDRAW: rich,
}


# ---- at every other step


def ordinary(victim: Victim, step: Step) -> None:
    requests = [victim.place.request(chats(count)) for count in (1, 2, 3)]
    ids = victim.submit(*requests)
    victim.dies_at(*around(step))
    victim.settles(ids)
    victim.check_money(ids, requests)
    victim.check_once(ids)


def taken_up_again(victim: Victim, step: Step) -> None:
    """With tokens of an earlier life."""
    requests = [victim.place.request(chats(2))]
    ids = victim.submit(*requests)
    victim.dies_at(Point(AFTER, Step.KEEP_TOKENS), *around(step))
    victim.settles(ids)
    victim.check_money(ids, requests)
    victim.check_once(ids)


def reorganised(victim: Victim, step: Step) -> None:
    """While the worker is dead, its result is orphaned."""
    place = victim.place
    requests = [place.request(), place.request(chats(2))]
    ids = victim.submit(requests[0])
    victim.dies_at(Point(AFTER, Step.CLOSE, Call.CLAIM))
    fork = place.rpc.call("evm_snapshot")
    victim.dies_at(Point(AFTER, Step.CLOSE, Call.POST))
    height = place.rpc.block_number()
    assert place.rpc.call("evm_revert", fork) is True
    place.rpc.call("evm_setAutomine", False)
    ids += victim.submit(requests[1])
    while place.rpc.block_number() <= height:
        victim.mine()
    assert TaskState.POSTED not in place.states(ids)
    victim.dies_at(*around(step))
    victim.settles(ids)
    victim.check_money(ids, requests)
    victim.check_once(ids)


def engine_dies(victim: Victim, process: WorkerProcess) -> None:
    """Once it is at work."""
    started = time.time()

    def works() -> bool:
        found = status(victim.config)
        return found.at > started and any(line.stage == "running" for line in found.held)

    victim.awaits(works, "the engine works")
    assert process.kill_engine()


def with_a_dying_engine(victim: Victim, step: Step) -> None:
    request = victim.place.request()
    ids = victim.submit(request)
    victim.change("engine", fake_tokens_per_sec=0.5)
    victim.dies_at(*around(step), meanwhile=partial(engine_dies, victim))
    victim.change("engine", fake_tokens_per_sec=0.0)
    victim.settles(ids)
    victim.check_money(ids, [request])
    victim.check_once(ids)


def recovering(victim: Victim, step: Step) -> None:
    """The one strategy there is has failed, and works again."""
    requests = [victim.place.request()]
    ids = victim.submit(*requests)
    victim.change("engine", fake_tokens_per_sec=0.5, strategies=("vllm-default",))
    victim.dies_at(Point(AFTER, Step.NOTE_TROUBLE), meanwhile=partial(engine_dies, victim))
    victim.change("engine", fake_tokens_per_sec=0.0)
    for point in around(step):
        requests.append(victim.place.request())
        ids += victim.submit(requests[-1])
        victim.dies_at(point)
    victim.settles(ids)
    victim.check_money(ids, requests)
    victim.check_once(ids)


def with_a_store_that_is_away(victim: Victim, step: Step) -> None:
    request = victim.place.request()
    ids = victim.submit(request)
    folder, aside = victim.place.home / "store", victim.place.home / "aside"
    folder.rename(aside)
    victim.dies_at(*around(step))
    aside.rename(folder)
    victim.settles(ids)
    victim.check_money(ids, [request])
    victim.check_once(ids)


def outrun(victim: Victim, step: Step) -> None:
    """A rival is faster between the claim's signing and its sending, and gives the task back later."""
    place, market = victim.place, victim.place.market
    requests = [place.request() for _ in Moment]
    rival = Sender(place.rpc, dev_account(3))
    victim.send(rival, market.deposit(rival.address, DEPOSIT_UNITS))
    ids: list[bytes] = []
    for request, point in zip(requests, around(step), strict=True):
        ids += victim.submit(request)
        victim.dies_at(Point(AFTER, Step.SIGN, Call.CLAIM))
        victim.send(rival, market.claim_many(ids[-1:]))
        victim.dies_at(point)
        victim.send(rival, market.release(ids[-1]))
    victim.settles(ids)
    victim.check_once(ids)
    paid = sum(earned_units(place, one, request) for one, request in zip(ids, requests, strict=True))
    assert place.operator_units() == (DEPOSIT_UNITS + paid, 0)
    assert victim.knows(ids[-1], "CLAIM-021")


def asked(victim: Victim, step: Step) -> None:
    """An operator wants money out, once more than there is."""
    victim.dies_at(Point(AFTER, Step.FOLLOW))
    database = Database(victim.config.database)
    more, some = (database.ask("withdraw", f"{units} {STRANGER}") for units in (10**15, 1_000))
    victim.dies_at(*around(step))
    victim.works_until(lambda: database.answer_to(some) and database.answer_to(more), "both answers")
    assert "tx_hash" in (database.answer_to(some) or {})
    assert "error" in (database.answer_to(more) or {})
    database.close()
    assert victim.place.rpc.balance_wei(STRANGER) == 1_000 * 10**9
    assert victim.place.operator_units() == (DEPOSIT_UNITS - 1_000, 0)


def asking(victim: Victim, step: Step) -> None:
    """It is the operator's command that dies; what it had written down is done, and done once."""
    worker = victim.spawn(victim.config)
    victim.awaits(lambda: status(victim.config).at, "the worker runs")
    for point in around(step):
        command = PROCESSES.Process(target=_ask_and_die, args=(victim.config, point))
        command.start()
        command.join(30)
        assert command.exitcode == -signal.SIGKILL
        victim.died_at.add(point)
    victim.awaits(
        lambda: victim.place.rpc.balance_wei(STRANGER) == 1_000 * 10**9, "what the second asked for"
    )
    worker.terminate()
    victim.awaits(lambda: worker.ended, "it ends")
    assert victim.place.operator_units() == (DEPOSIT_UNITS - 1_000, 0)


def _ask_and_die(config: WorkerConfig, point: Point) -> None:
    arm(point)
    control.withdraw(config, PASSWORD, 1_000, STRANGER)


LIFE_OF_A_STEP: dict[Step, Callable[[Victim, Step], None]] = {
    Step.BIND: ordinary,
    Step.MEASURE: ordinary,
    Step.FOLLOW: ordinary,
    Step.DECIDE: ordinary,
    Step.RUN: ordinary,
    Step.LEARN: ordinary,
    Step.STORE: ordinary,
    Step.SHOW: ordinary,
    Step.FORGET: ordinary,
    Step.KEEP_TOKENS: ordinary,
    Step.RENEW_TOKENS: taken_up_again,
    Step.REWIND: reorganised,
    Step.COUNT_FAILURE: with_a_dying_engine,
    Step.NOTE_TROUBLE: with_a_dying_engine,
    Step.FORGIVE: recovering,
    Step.NOTE_AWAY: with_a_store_that_is_away,
    Step.NOTE_OUTCOME: outrun,
    Step.TAKE_REQUEST: asked,
    Step.REFUSE_REQUEST: asked,
    Step.ASK: asking,
}
