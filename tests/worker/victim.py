"""A worker to be killed again and again, with the market that it works on and the money it must end with."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from chain.call import Call as MarketCall
from chain.sender import Sender
from protocol import lifecycle
from protocol.money import charge_units, winner_units
from protocol.request import Request
from tests.worker.conftest import running
from tests.worker.harness import (
    DEPOSIT_UNITS,
    OPERATOR,
    MarketPlace,
    Point,
    WorkerProcess,
    around,
    codes,
    eventually,
)
from worker.artefacts import Call
from worker.config import WorkerConfig
from worker.report import status
from worker.steps import OF_A_CALL, Moment

BEFORE, AFTER = Moment
ONCE = (lifecycle.TaskClaimed, lifecycle.ResultPosted, lifecycle.TaskSettled)


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
