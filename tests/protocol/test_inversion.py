"""A claim passes over a better task only if that was open long enough and in nothing worse."""

from dataclasses import replace

import pytest

from protocol.inversion import Inversion, inversion, open_since
from protocol.lifecycle import TaskState, TaskView
from protocol.priority import priority
from tests.protocol.test_replay import PARAMETERS, request

CLAIMED_AT, UNIT = 100, 10**9


def view(number, state=TaskState.OPEN, **changes):
    asked = replace(request(), salt=bytes([number]) * 32, **changes)
    return TaskView(bytes([number]) * 32, asked, state, asked.tip_units, 10, 10)


TAKEN, BETTER = view(1, tip_units=50), view(2, tip_units=51)


def judged(skipped, taken=TAKEN, claimed_at=CLAIMED_AT):
    return inversion(taken, skipped, claimed_at, PARAMETERS, UNIT)


def test_passing_over_a_better_paying_equal_task_is_an_inversion():
    found = judged(BETTER)
    lead = priority(51 * UNIT, 1, 100, 10, 100, 1) - priority(50 * UNIT, 1, 100, 10, 100, 1)
    assert found == Inversion(TAKEN.task_id, BETTER.task_id, CLAIMED_AT, lead, 90)


@pytest.mark.parametrize(
    ("skipped", "why"),
    [
        (replace(BETTER, state=TaskState.LEASED), "skipped is not open"),
        (replace(BETTER, priced_at=95), "skipped within the grace time"),
        (replace(BETTER, until=95), "skipped within the grace time"),
        (view(2, tip_units=51, deadline=159), "skipped could not be claimed any more"),
        (view(2, tip_units=51, model_id=b"\x09" * 32), "another model"),
        (view(2, tip_units=51, equivalence=b"\x09" * 32), "another class"),
        (view(2, tip_units=151, replicas=3), "other replicas"),
        (view(2, tip_units=99, max_output_tokens=101), "more tokens"),
        (view(2, tip_units=51, bond_units=3), "a higher bond"),
        (view(2, tip_units=51, max_fee_units=999), "a lower fee per token"),
        (view(2, tip_units=51, flat_percent=9), "a lower flat share"),
        (view(2, tip_units=51, lease_secs=59), "a shorter lease"),
        (view(2, tip_units=49), "skipped ranks lower"),
        (view(2, tip_units=50), "skipped ranks lower"),
    ],
)
def test_anything_that_made_the_other_task_worse_is_named(skipped, why):
    assert judged(skipped) == why


def test_equal_priorities_rank_by_the_lower_id():
    assert isinstance(judged(view(1, tip_units=50), taken=view(2, tip_units=50)), Inversion)


def test_a_release_starts_the_grace_time_anew():
    assert open_since(replace(BETTER, until=94)) == 94
    assert isinstance(judged(replace(BETTER, until=94)), Inversion)
    assert open_since(BETTER) == 10


def test_the_grace_time_itself_still_belongs_to_the_worker():
    assert judged(replace(BETTER, priced_at=95)) == "skipped within the grace time"
    assert isinstance(judged(replace(BETTER, priced_at=94)), Inversion)
