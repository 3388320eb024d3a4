"""Training batches: cases turned into token ids, with a mask that says which tokens carry loss."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from .tasks import (
    Case,
    Split,
    Task,
    arithmetic_case,
    looked_up,
    recall_table,
    small_difference_case,
    sorting_case,
    split_of,
    story_case,
)

PLAIN_SHARE = 0.2
"""Share of the training cases given as bare text instead of chat."""


SMALL_DIFFERENCE_SHARE = 0.25

SHORTEST_SORTED = (3, 6)
"""Half of the sorting cases have at least six digits: the long ones are learned last."""


TURNING_WORDS = (" On", " After")
"""Where a story goes on for another day or ends: few tokens that decide whether it is right."""

TURNING_WEIGHT = 10.0


@dataclass(frozen=True)
class Batch:
    """Token ids (rows, tokens), right-padded, and each token's weight in the loss, same shape."""

    ids: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class RecallShape:
    """Tables of `min_pairs` to `max_pairs` lines, each asked `questions` times in one conversation, or
    `plain_questions` times in bare text."""

    rows: int
    min_pairs: int
    max_pairs: int
    questions: int
    plain_questions: int


Part = tuple[str, bool]
"""A piece of text and whether the model must learn to say it."""


class Batches:
    """Endless source of training batches; two with the same seed give the same batches."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self._tokenizer = tokenizer
        self._rng = random.Random(seed)

    def short(self, task: Task, rows: int) -> Batch:
        """`rows` arithmetic or sorting cases."""
        return self._batch([self._parts(self._short_case(task)) for _ in range(rows)])

    def stories(self, rows: int, min_days: int, max_days: int) -> Batch:
        cases = (story_case(self._rng, Split.TRAIN, min_days, max_days) for _ in range(rows))
        batch = self._batch([self._parts(case) for case in cases])
        turning = torch.isin(batch.ids, torch.tensor([self._tokenizer.encode(w)[0] for w in TURNING_WORDS]))
        return Batch(batch.ids, batch.weights * (1 + (TURNING_WEIGHT - 1) * turning))

    def recall(self, shape: RecallShape) -> Batch:
        """Conversations of several questions over one table: many answers for one reading of the table."""
        pairs = self._rng.randint(shape.min_pairs, shape.max_pairs)
        return self._batch([self._conversation(pairs, shape) for _ in range(shape.rows)])

    def _short_case(self, task: Task) -> Case:
        if task is Task.ARITHMETIC:
            hard = self._rng.random() < SMALL_DIFFERENCE_SHARE
            return (small_difference_case if hard else arithmetic_case)(self._rng, Split.TRAIN)
        return sorting_case(self._rng, Split.TRAIN, min_digits=self._rng.choice(SHORTEST_SORTED))

    def _conversation(self, pairs: int, shape: RecallShape) -> list[Part]:
        rng = self._rng
        table = recall_table(rng, pairs)
        plain = rng.random() < PLAIN_SHARE
        questions = shape.plain_questions if plain else shape.questions
        asked = (looked_up(table, rng.choice(tuple(table))) for _ in range(questions))
        cases = [case for case in asked if split_of(case.plain) is Split.TRAIN]
        if not cases:
            return self._conversation(pairs, shape)
        if plain:
            parts: list[Part] = [(f"{cases[0].system}\n", False)]
            asks = [case.user.removesuffix("?") for case in cases]
        else:
            parts = [(f"<|system|>{cases[0].system}<|end|>", False)]
            asks = [f"<|user|>{case.user}<|end|><|assistant|>" for case in cases]
        for case, ask in zip(cases, asks, strict=True):
            parts.append((ask, False))
            parts.append((f"{case.answer}<|end|>", True))
        return parts

    def _parts(self, case: Case) -> list[Part]:
        if self._rng.random() < PLAIN_SHARE:
            return [(case.plain, False), (f"{case.answer}<|end|>", True)]
        return [(f"<|user|>{case.user}<|end|><|assistant|>", False), (f"{case.answer}<|end|>", True)]

    def _batch(self, rows: list[list[Part]]) -> Batch:
        encoded = iter(
            self._tokenizer.backend_tokenizer.encode_batch_fast(
                [text for row in rows for text, _ in row], add_special_tokens=False
            )
        )
        ids_rows, mask_rows = [], []
        for row in rows:
            ids: list[int] = []
            mask: list[bool] = []
            for _, is_answer in row:
                piece = next(encoded).ids
                ids += piece
                mask += [is_answer] * len(piece)
            ids_rows.append(torch.tensor(ids))
            mask_rows.append(torch.tensor(mask, dtype=torch.float32))
        pad = self._tokenizer.pad_token_id
        return Batch(
            torch.nn.utils.rnn.pad_sequence(ids_rows, batch_first=True, padding_value=pad),
            torch.nn.utils.rnn.pad_sequence(mask_rows, batch_first=True),
        )
