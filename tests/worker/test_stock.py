"""What is kept at hand for a task, and what goes when it is too much."""

from typing import Any, cast

from protocol.lifecycle import TaskState
from tests.worker.makers import FACTS, NOW, OTHER, leased, ready, task, view
from worker.artefacts import Input
from worker.inputs import CheckedInput
from worker.stock import Stock
from worker.task import Task
from worker.view import View

TOKENS = FACTS.prompt_tokens


def stock_of(seen: View) -> Stock:
    """With a checked input for each task."""
    stock = Stock()
    for task_id in seen.tasks:
        stock.artefacts[task_id] = ready()
        stock.checked[task_id] = CheckedInput((), cast("Any", None), FACTS)
    return stock


def leased_by_other(number: int) -> Task:
    return task(number, state=TaskState.LEASED, holder=OTHER, until=NOW + 60)


def test_inputs_of_tasks_that_others_have_claimed_go_before_those_that_wait():
    """Otherwise they push out whatever is fetched, and nothing is ever claimed again."""
    waiting, mine = [task(number) for number in (1, 2)], leased(3)
    seen = view(*waiting, mine, *(leased_by_other(number) for number in range(4, 9)))
    stock = stock_of(seen)
    stock.make_room(3 * TOKENS, seen)
    assert set(stock.checked) == {each.id for each in (*waiting, mine)}
    assert stock.artefacts[leased_by_other(4).id].input is Input.UNKNOWN, "read again if the lease lapses"


def test_of_those_that_wait_the_worst_paying_go_and_none_that_is_under_work():
    waiting, mine = [task(number, tip_units=100_000 - number) for number in range(1, 7)], leased(9)
    seen = view(*waiting, mine)
    stock = stock_of(seen)
    stock.make_room(3 * TOKENS, seen)
    assert set(stock.checked) == {each.id for each in (*waiting[:2], mine)}
