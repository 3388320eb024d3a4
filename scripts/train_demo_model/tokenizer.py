"""A byte-level BPE tokenizer that takes any text; every taught word and every digit is one token."""

from __future__ import annotations

import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .story import StoryPlan, tell
from .words import GIFTS, HEROES, KEYS, NAMES, ROAD, VALUES, VERBS, WEATHERS

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = [PAD, END, SYSTEM, USER, ASSISTANT]

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer(context_tokens: int) -> PreTrainedTokenizerFast:
    """The tokenizer in transformers' shape; `context_tokens` is the model's window."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def _corpus() -> list[str]:
    rng = random.Random(0)
    plans = (
        StoryPlan(NAMES[i % len(NAMES)], HEROES[i % len(HEROES)], ROAD[i % len(ROAD)][0], 8)
        for i in range(40)
    )
    stories = [f"{plan.request()}\n{tell(plan, rng)}" for plan in plans]
    spaced = (*NAMES, *HEROES, *(word for pair in ROAD for word in pair), *WEATHERS, *GIFTS, *VERBS)
    return [*KEYS, *VALUES, *NAMES, *(f" {word}" for word in spaced), "sort(52914)=?", "=?", *stories]
