"""A requester sees each task as time has left it, and its place in line."""

from dataclasses import replace

from protocol.digest import to_hex
from protocol.lifecycle import Standing, TaskState
from tests.wallet.makers import NOW, REQUESTER, WORKER, market, task
from wallet.tasks import of_requester, status

AGE_RATE = 10**9


def test_the_line_is_the_order_in_which_workers_serve():
    queue = market(task(1), task(2, tip_units=50), task(3), task(4, TaskState.LEASED, until=NOW + 9))
    shown = {each.task.task_id[0]: each for each in of_requester(queue, REQUESTER, NOW, AGE_RATE)}
    assert [shown[number].place for number in (1, 2, 3, 4)] == [2, 1, 3, 0]
    assert shown[2].words() == "open, place 1 of 3"
    assert shown[4].words() == "in work"


def test_a_lapsed_lease_waits_in_line_again_and_an_expired_task_does_not():
    lapsed = task(1, TaskState.LEASED, until=NOW - 1)
    expired = task(2, deadline=NOW - 1)
    queue = market(lapsed, expired)
    assert status(queue, lapsed, NOW, AGE_RATE).place == 1
    assert status(queue, expired, NOW, AGE_RATE).standing is Standing.EXPIRED


def test_only_own_tasks_are_listed():
    queue = market(task(1), task(2, requester=WORKER))
    assert [each.task.task_id[0] for each in of_requester(queue, REQUESTER, NOW, AGE_RATE)] == [1]


def test_money_is_locked_until_the_task_ends():
    running = task(1, tip_units=5)
    assert status(market(running), running, NOW, AGE_RATE).locked_units == 300_005
    over = replace(running, state=TaskState.REFUNDED, refund_reason=2)
    ended = status(market(over), over, NOW, AGE_RATE)
    assert (ended.locked_units, ended.is_over, ended.words()) == (0, True, "refunded (expired)")


def test_json_names_the_task_in_hex_and_the_state_in_lower_case():
    told = status(market(task(1)), task(1), NOW, AGE_RATE).to_json()
    assert told["task"] == to_hex(bytes([1]) * 32)
    assert told["state"] == "open"
    assert told["worker"] is None
