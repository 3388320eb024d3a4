"""A requester sees each task as time has left it, and its place in line."""

from dataclasses import replace

from protocol.digest import to_hex
from protocol.lifecycle import SeatState, SeatView, Standing, TaskState
from tests.wallet.makers import NOW, REQUESTER, WORKER, market, task
from wallet.tasks import Order, of_requester, status

ORDER = Order(age_rate_wei=10**9, unit=10**9)


def test_the_line_is_the_order_in_which_workers_serve():
    queue = market(task(1), task(2, tip_units=50), task(3), task(4, TaskState.LEASED, until=NOW + 9))
    shown = {each.task.task_id[0]: each for each in of_requester(queue, REQUESTER, NOW, ORDER)}
    assert [shown[number].place for number in (1, 2, 3, 4)] == [2, 1, 3, 0]
    assert shown[2].words() == "open, place 1 of 3"
    assert shown[4].words() == "in work"


def test_a_lapsed_lease_waits_in_line_again_and_an_expired_task_does_not():
    lapsed = task(1, TaskState.LEASED, until=NOW - 1)
    expired = task(2, deadline=NOW - 1)
    queue = market(lapsed, expired)
    assert status(queue, lapsed, NOW, ORDER).place == 1
    assert status(queue, expired, NOW, ORDER).standing is Standing.EXPIRED


def test_only_own_tasks_are_listed():
    queue = market(task(1), task(2, requester=WORKER))
    assert [each.task.task_id[0] for each in of_requester(queue, REQUESTER, NOW, ORDER)] == [1]


def test_money_is_locked_until_the_task_ends():
    running = task(1, tip_units=5)
    assert status(market(running), running, NOW, ORDER).locked_units == 300_005
    over = replace(running, state=TaskState.REFUNDED, refund_reason=2)
    ended = status(market(over), over, NOW, ORDER)
    assert (ended.locked_units, ended.is_over, ended.words()) == (0, True, "refunded (expired)")


def test_json_names_the_task_in_hex_and_the_state_in_lower_case():
    told = status(market(task(1)), task(1), NOW, ORDER).to_json()
    assert told["task"] == to_hex(bytes([1]) * 32)
    assert told["state"] == "open"
    assert told["worker"] is None


def test_a_replicated_task_says_how_many_seats_are_taken_and_how_many_committed():
    def seat(worker: str, state: SeatState, commitment: bytes = b"") -> SeatView:
        return SeatView(worker, state, NOW + 9, NOW - 5, commitment=commitment)

    seats = (seat(WORKER, SeatState.COMMITTED, b"c" * 32), seat(REQUESTER, SeatState.LEASED))
    view = task(1, TaskState.LEASED, replicas=3, seats=seats)
    words = status(market(view), view, NOW, ORDER).words()
    assert words == "in work, place 1 of 1, 2 of 3 seats taken, 1 committed"
