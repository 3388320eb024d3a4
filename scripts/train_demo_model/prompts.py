"""What the demo asks of its model, with the right answers: one chat question, 64 look-ups, one long story."""

from __future__ import annotations

import random

from .story import StoryPlan
from .tasks import MAX_RECALL_PAIRS, Case, looked_up, recall_table, sum_or_difference, told

LOOKUPS = 64
STORY_MAX_TOKENS = 420


def chat_question() -> Case:
    """One short sum, asked by chat."""
    return sum_or_difference("47+85")


def shared_prefix_questions(count: int = LOOKUPS, pairs: int = MAX_RECALL_PAIRS, seed: int = 2) -> list[Case]:
    """`count` look-ups of different keys in one table of `pairs` lines: all share the same system message.

    Raises ValueError when there are fewer pairs than questions.
    """
    rng = random.Random(seed)
    table = recall_table(rng, pairs)
    return [looked_up(table, key) for key in rng.sample(tuple(table), count)]


def long_story() -> Case:
    """A story of ten days: some 350 tokens, so give it at least `STORY_MAX_TOKENS`."""
    return told(StoryPlan("Mira", "fox", "mill", 10), random.Random(0))
