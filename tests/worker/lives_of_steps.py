"""For each step that belongs to no transaction, a life of a worker that is killed there and ends well."""

import signal
import time
from collections.abc import Callable
from functools import partial

from chain.devnet import dev_account
from chain.sender import Sender
from protocol.lifecycle import TaskState
from tests.worker.harness import (
    DEPOSIT_UNITS,
    PASSWORD,
    PROCESSES,
    Point,
    WorkerProcess,
    arm,
    around,
    chats,
)
from tests.worker.victim import AFTER, Victim, earned_units
from worker import control
from worker.artefacts import Call
from worker.config import WorkerConfig
from worker.database import Database
from worker.report import status
from worker.steps import Moment, Step

STRANGER = "0x" + "00" * 19 + "77"


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
