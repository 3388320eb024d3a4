"""Held-out accuracy of a model directory, by greedy generation in transformers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from .tasks import Case, Split, Task, arithmetic_case, recall_case, sorting_case, story_case

RECALL_PAIRS = (8, 32, 64, 128)
"""Table sizes measured; a line is four tokens, so 128 lines are a prefix of 512 tokens."""

BATCH_ROWS = 50
MAX_ANSWER_TOKENS = {Task.ARITHMETIC: 8, Task.SORTING: 12, Task.RECALL: 8, Task.STORY: 420}


@dataclass(frozen=True)
class Subject:
    """A loaded model with its tokenizer."""

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase

    @classmethod
    def load(cls, directory: Path) -> Subject:
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        return cls(model.eval(), AutoTokenizer.from_pretrained(directory))

    def answers(self, cases: Sequence[Case], *, plain: bool = False) -> list[str]:
        """The greedy answer to each case, asked by chat or as bare text."""
        texts: list[str] = []
        for start in range(0, len(cases), BATCH_ROWS):
            texts += self._generate(cases[start : start + BATCH_ROWS], plain=plain)
        return texts

    def accuracy(self, cases: Sequence[Case], *, plain: bool = False) -> float:
        """Share of `cases` answered rightly."""
        answers = self.answers(cases, plain=plain)
        return sum(case.is_right(answer) for case, answer in zip(cases, answers, strict=True)) / len(cases)

    def _generate(self, cases: Sequence[Case], *, plain: bool) -> list[str]:
        prompts = [case.plain if plain else self._chat(case) for case in cases]
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=False,
                max_new_tokens=max(MAX_ANSWER_TOKENS[case.task] for case in cases),
            )
        answers = output[:, inputs["input_ids"].shape[1] :]
        return list(self.tokenizer.batch_decode(answers, skip_special_tokens=True))

    def _chat(self, case: Case) -> str:
        return str(
            self.tokenizer.apply_chat_template(case.messages(), tokenize=False, add_generation_prompt=True)
        )


def held_out(task: Task, count: int, seed: int, recall_pairs: int = 64) -> list[Case]:
    """`count` held-out cases of `task`; the same seed gives the same cases."""
    rng = random.Random(f"{task}-{recall_pairs}-{seed}")
    makers: dict[Task, Callable[[], Case]] = {
        Task.ARITHMETIC: lambda: arithmetic_case(rng, Split.HELD_OUT),
        Task.SORTING: lambda: sorting_case(rng, Split.HELD_OUT),
        Task.RECALL: lambda: recall_case(rng, Split.HELD_OUT, recall_pairs),
        Task.STORY: lambda: story_case(rng, Split.HELD_OUT),
    }
    return [makers[task]() for _ in range(count)]


def accuracy_report(directory: Path, cases: int, seed: int) -> dict[str, object]:
    """Held-out accuracy by chat and as bare text; `cases` per task, for recall per table size."""
    subject = Subject.load(directory)
    chat: dict[str, float] = {}
    plain: dict[str, float] = {}
    for name, chosen in _suites(cases, seed).items():
        chat[name] = subject.accuracy(chosen)
        plain[name] = subject.accuracy(chosen, plain=True)
    return {
        "chat": chat,
        "plain": plain,
        "cases_each": cases,
        "seed": seed,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _suites(cases: int, seed: int) -> dict[str, list[Case]]:
    suites = {str(task): held_out(task, cases, seed) for task in Task if task is not Task.RECALL}
    for pairs in RECALL_PAIRS:
        suites[f"recall_{pairs}_pairs"] = held_out(Task.RECALL, cases, seed, pairs)
    return suites
