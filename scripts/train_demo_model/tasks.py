"""The demo model's taught tasks: questions, right answers, checkers. Pure Python, imports no ML package.

A case is held out when the SHA-256 of its question falls into one of 16 buckets; training draws only from
the other 15, so the two sets are disjoint by construction and anybody can tell which is which.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from .story import StoryPlan, is_story, tell
from .words import HEROES, KEYS, NAMES, ROAD, VALUES

T = TypeVar("T")

HELD_OUT_BUCKETS = 16
MAX_OPERAND = 999
MAX_RECALL_PAIRS = 128


class Task(StrEnum):
    ARITHMETIC = "arithmetic"
    SORTING = "sorting"
    RECALL = "recall"
    STORY = "story"


class Split(StrEnum):
    TRAIN = "train"
    HELD_OUT = "held_out"


@dataclass(frozen=True)
class Case:
    """One question with its right answer.

    `system` and `user` are the chat messages (`system` is empty where a task needs none), `plain` is the same
    question for bare text completion. For stories `answer` is one of many right ones: judge with `is_right`.
    """

    task: Task
    system: str
    user: str
    plain: str
    answer: str
    plan: StoryPlan | None = None

    def messages(self) -> list[dict[str, str]]:
        """The question as OpenAI-style chat messages."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.user}]

    def is_right(self, text: str) -> bool:
        """Whether generated `text` (special tokens removed) answers this case."""
        if self.plan is not None:
            return is_story(self.plan, text)
        return text.strip() == self.answer


def split_of(question: str) -> Split:
    digest = hashlib.sha256(question.encode()).digest()
    return Split.HELD_OUT if digest[0] % HELD_OUT_BUCKETS == 0 else Split.TRAIN


def arithmetic_case(rng: random.Random, split: Split) -> Case:
    """Sum of two numbers of 1 to 3 digits, or their difference (never negative)."""

    def draw() -> tuple[str, str]:
        a, b = (rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 3, 3))) for _ in range(2))
        if rng.random() < 0.5:
            low, high = sorted((a, b))
            return f"{a}+{b}", f"{low}+{high}"
        return f"{max(a, b)}-{min(a, b)}", f"{max(a, b)}-{min(a, b)}"

    expression, _ = _draw_in(split, draw)
    return sum_or_difference(expression)


def small_difference_case(rng: random.Random, split: Split) -> Case:
    """Difference of two numbers whose leading digits cancel: rare in `arithmetic_case`, and hardest."""

    def draw() -> tuple[str, str]:
        low = rng.randrange(10 ** rng.choice((2, 2, 3)))
        expression = f"{min(low + rng.randrange(100), MAX_OPERAND)}-{low}"
        return expression, expression

    return sum_or_difference(_draw_in(split, draw)[0])


def sum_or_difference(expression: str) -> Case:
    """The case for an expression such as `47+85` or `90-12`."""
    plus = "+" in expression
    left, right = expression.split("+" if plus else "-")
    result = int(left) + int(right) if plus else int(left) - int(right)
    return Case(Task.ARITHMETIC, "", f"{expression}=?", f"{expression}=", str(result))


def sorting_case(rng: random.Random, split: Split, min_digits: int = 3, max_digits: int = 8) -> Case:
    """Digits in ascending order, repeats kept."""

    def draw() -> tuple[str, str]:
        digits = "".join(rng.choices("0123456789", k=rng.randint(min_digits, max_digits)))
        return digits, f"sort({digits})"

    digits, _ = _draw_in(split, draw)
    return sorted_digits(digits)


def sorted_digits(digits: str) -> Case:
    """The case that sorts `digits`, e.g. `52914`."""
    return Case(Task.SORTING, "", f"sort({digits})=?", f"sort({digits})=", "".join(sorted(digits)))


def recall_table(rng: random.Random, pairs: int) -> dict[str, str]:
    """`pairs` distinct keys with values; values may repeat."""
    return {key: rng.choice(VALUES) for key in rng.sample(KEYS, pairs)}


def recall_case(rng: random.Random, split: Split, pairs: int) -> Case:
    """One question about a fresh table of `pairs` key=value lines."""

    def draw() -> tuple[Case, str]:
        table = recall_table(rng, pairs)
        case = looked_up(table, rng.choice(tuple(table)))
        return case, case.plain

    return _draw_in(split, draw)[0]


def looked_up(table: dict[str, str], key: str) -> Case:
    """The case that asks for `key` of `table`; cases over one table share the whole system message."""
    lines = "\n".join(f"{name}={value}" for name, value in table.items())
    return Case(Task.RECALL, lines, f"{key}=?", f"{lines}\n{key}=", table[key])


def story_case(rng: random.Random, split: Split, min_days: int = 3, max_days: int = 10) -> Case:
    """A story of `min_days` to `max_days` days (about 33 tokens a day)."""

    def draw() -> tuple[StoryPlan, str]:
        plan = StoryPlan(
            rng.choice(NAMES), rng.choice(HEROES), rng.choice(ROAD)[0], rng.randint(min_days, max_days)
        )
        return plan, plan.request()

    return told(_draw_in(split, draw)[0], rng)


def told(plan: StoryPlan, rng: random.Random) -> Case:
    """The case for a story plan; `rng` picks the reference telling."""
    return Case(Task.STORY, "", plan.request(), f"{plan.request()}\n", tell(plan, rng), plan)


def _draw_in(split: Split, draw: Callable[[], tuple[T, str]]) -> tuple[T, str]:
    while True:
        drawn, question = draw()
        if split_of(question) is split:
            return drawn, question
