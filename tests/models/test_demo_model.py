"""The shipped demo model answers held-out questions; nothing here trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.train_demo_model.evaluate import Subject, held_out
from scripts.train_demo_model.prompts import chat_question, long_story, shared_prefix_questions
from scripts.train_demo_model.tasks import Case, Task

MODEL_DIR = Path(__file__).resolve().parents[2] / "models" / "quern-demo"


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.load(MODEL_DIR)


@pytest.mark.parametrize("task", [Task.ARITHMETIC, Task.SORTING])
@pytest.mark.parametrize("plain", [False, True])
def test_it_computes_and_sorts_held_out_cases(subject, task, plain):
    assert subject.accuracy(held_out(task, 200, seed=11), plain=plain) >= 0.95


@pytest.mark.parametrize("pairs", [8, 64, 128])
def test_it_recalls_held_out_keys_of_tables_up_to_several_hundred_tokens(subject, pairs):
    assert subject.accuracy(held_out(Task.RECALL, 40, seed=11, recall_pairs=pairs)) >= 0.95


def test_it_tells_held_out_stories_the_checker_accepts(subject):
    assert subject.accuracy(held_out(Task.STORY, 40, seed=11)) >= 0.95


def test_it_answers_the_demo(subject):
    cases: list[Case] = [chat_question(), long_story(), *shared_prefix_questions()]
    wrong = [case.user for case in cases if not case.is_right(subject.answers([case])[0])]
    assert len(wrong) <= 3, wrong
    assert "Tell a story of 10 days about Mira the fox from the mill." not in wrong


def test_any_text_survives_the_tokenizer(subject):
    text = 'Grüße, 世界! \t{"a": [1, 22]}\n🙂  two spaces'
    assert subject.tokenizer.decode(subject.tokenizer.encode(text)) == text


def test_the_chat_template_opens_the_answer(subject):
    messages = [{"role": "system", "content": "fox=red"}, {"role": "user", "content": "fox=?"}]
    text = subject.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|system|>fox=red<|end|><|user|>fox=?<|end|><|assistant|>"


def test_the_window_holds_at_least_1024_tokens(subject):
    assert subject.model.config.max_position_embeddings >= 1024
    assert subject.tokenizer.model_max_length == subject.model.config.max_position_embeddings
