"""Tasks as events make them, and the lists that deciding walks."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.domain import UNIT_WEI
from protocol.lifecycle import (
    LeaseLapsed,
    LeaseReleased,
    Place,
    PriorityRaised,
    RefundReason,
    ResultPosted,
    TaskClaimed,
    TaskRefunded,
    TaskSettled,
    TaskState,
    TaskSubmitted,
)
from protocol.priority import priority, rank_key
from tests.worker.makers import AGE_RATE_WEI, ME, NOW, OTHER, request, task, view
from worker.database import Database
from worker.steps import Step
from worker.view import View

ID = b"\x01" * 32


def at(block: int) -> Place:
    return Place(block, bytes([block]) * 32, bytes(32), 0, NOW + block)


def submitted(task_id: bytes = ID, **changes: object) -> TaskSubmitted:
    return TaskSubmitted(at(1), task_id, request(**changes), NOW)


def after(*events) -> View:
    made = View(ME, AGE_RATE_WEI)
    for event in events:
        made.apply(event)
    return made


def test_a_task_goes_from_the_queue_to_held_to_posted_to_nothing():
    seen = after(submitted())
    assert [one.id for one in seen.claimable()] == [ID]
    seen.apply(TaskClaimed(at(2), ID, ME, NOW + 60))
    assert (list(seen.claimable()), [one.id for one in seen.held()]) == ([], [ID])
    seen.apply(ResultPosted(at(3), ID, b"r" * 32, b"b" * 32, 7, NOW + 9))
    assert (list(seen.held()), [(one.until, one.output_tokens) for one in seen.posted()]) == (
        [],
        [(NOW + 9, 7)],
    )
    seen.apply(TaskSettled(at(4), ID, ME, 500, 20))
    assert (list(seen.posted()), seen.tasks[ID].state, seen.tasks[ID].paid_units) == (
        [],
        TaskState.SETTLED,
        500,
    )


def test_a_lost_lease_is_remembered_when_somebody_else_takes_it():
    seen = after(submitted(), TaskClaimed(at(2), ID, ME, NOW + 60))
    seen.apply(LeaseLapsed(at(3), ID, ME, 1_000))
    seen.apply(TaskClaimed(at(3), ID, OTHER, NOW + 120))
    one = seen.tasks[ID]
    assert (one.held_before, one.burned_units, one.holder, list(seen.held())) == (True, 1_000, OTHER, [])


def test_a_released_task_is_open_again_but_not_for_who_released_it():
    seen = after(submitted(), TaskClaimed(at(2), ID, ME, NOW + 60), LeaseReleased(at(3), ID, ME, 50))
    assert [one.held_before for one in seen.claimable()] == [True]


def test_a_refunded_task_leaves_every_list():
    seen = after(submitted(), TaskRefunded(at(2), ID, RefundReason.CANCELLED, 9))
    assert (list(seen.claimable()), list(seen.held()), list(seen.posted())) == ([], [], [])


def test_a_raised_tip_moves_a_task_forward():
    first, second = b"\x01" * 32, b"\x02" * 32
    seen = after(submitted(first), submitted(second), PriorityRaised(at(2), second, 900_000, 100, NOW + 5))
    assert [one.id for one in seen.claimable()] == [second, first]


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(1, 5_000), st.integers(0, 10_000)),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 10**6),
)
def test_the_queue_is_in_the_order_of_the_published_priority_at_any_time(rows, later):
    tasks = []
    for number, (tip, most, waited) in enumerate(rows, 1):
        one = task(number, tip_units=tip, max_output_tokens=most)
        one.priced_at = NOW - waited
        tasks.append(one)
    now = NOW + later
    ranked = sorted(
        tasks,
        key=lambda one: rank_key(
            priority(
                one.tip_units * UNIT_WEI, 1, one.request.max_output_tokens, one.priced_at, now, AGE_RATE_WEI
            ),
            one.id,
        ),
    )
    assert [one.id for one in view(*tasks).claimable()] == [one.id for one in ranked]


def test_what_is_saved_loads_back_the_same(tmp_path):
    seen = after(submitted(), TaskClaimed(at(2), ID, ME, NOW + 60), submitted(b"\x02" * 32))
    database = Database(tmp_path / "worker.db")
    with database.transaction(Step.FOLLOW):
        database.save_tasks(seen.take_changed())
    assert {one.id: one for one in database.live_tasks()} == seen.tasks
    database.close()
