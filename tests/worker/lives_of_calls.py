"""For each kind of transaction, a life of a worker that is killed at each of its steps and ends well."""

from collections.abc import Callable

from protocol import lifecycle
from protocol.equivalence import EquivalenceClass
from protocol.lifecycle import TaskState
from protocol.request import Request
from tests.worker.harness import DEPOSIT_UNITS, MarketPlace, Point, chats
from tests.worker.victim import AFTER, BEFORE, ONCE, Victim
from worker.artefacts import Call
from worker.report import status
from worker.steps import Step

FAKES = EquivalenceClass({"engine": "fake"})


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
