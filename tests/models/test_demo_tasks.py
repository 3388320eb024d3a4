"""The taught tasks: right answers, strict checkers, and a split nobody can cross."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.train_demo_model.prompts import long_story, shared_prefix_questions
from scripts.train_demo_model.tasks import (
    MAX_RECALL_PAIRS,
    Case,
    Split,
    arithmetic_case,
    looked_up,
    recall_case,
    sorted_digits,
    sorting_case,
    story_case,
    sum_or_difference,
)

ROOT = Path(__file__).resolve().parents[2]

MAKERS = {
    "arithmetic": arithmetic_case,
    "sorting": sorting_case,
    "recall": lambda rng, split: recall_case(rng, split, 5),
    "story": story_case,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_training_never_draws_a_held_out_question(make):
    trained = {make(random.Random(seed), Split.TRAIN).plain for seed in range(600)}
    held_out = {make(random.Random(seed), Split.HELD_OUT).plain for seed in range(600)}
    assert len(held_out) > 50
    assert not trained & held_out


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        (sum_or_difference("47+85"), "132"),
        (sum_or_difference("900-899"), "1"),
        (sorted_digits("529145"), "124559"),
        (looked_up({"fox": "red", "owl": "tan"}, "owl"), "tan"),
    ],
)
def test_answers_are_right_and_near_misses_are_not(case: Case, answer: str):
    assert case.answer == answer
    assert case.is_right(f" {answer}\n")
    assert not case.is_right(answer[:-1])
    assert not case.is_right(f"{answer} or so")


def test_a_swapped_sum_lands_in_the_same_split():
    both = 0
    rng = random.Random(0)
    held_out = {arithmetic_case(rng, Split.HELD_OUT).user for _ in range(3000)}
    for seed in range(3000):
        user = arithmetic_case(random.Random(seed), Split.TRAIN).user
        if "+" in user:
            left, right = user.removesuffix("=?").split("+")
            both += f"{right}+{left}=?" in held_out
    assert both == 0


def test_a_story_is_judged_by_its_grammar():
    case = long_story()
    assert case.is_right(case.answer)
    for right, wrong in (
        ("On day 4", "On day 5"),
        ("met the heron", "met the baker"),
        ("Mira the fox", "Mira the cat"),
        (" The end.", ""),
        (case.answer.rsplit(" the ", 1)[1].split(".")[0], "anvil"),
    ):
        assert right in case.answer
        assert not case.is_right(case.answer.replace(right, wrong, 1)), wrong


def test_the_demo_asks_64_different_keys_of_one_long_table():
    cases = shared_prefix_questions()
    assert len({case.user for case in cases}) == 64
    assert len({case.system for case in cases}) == 1
    assert len(cases[0].system.splitlines()) == MAX_RECALL_PAIRS


def test_the_tasks_need_no_ml_package():
    program = "import sys, scripts.train_demo_model.prompts; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
