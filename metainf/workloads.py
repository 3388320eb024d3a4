"""Workloads to measure: contrasting batches of requests, drawn from a seed.

`SHAPES` are made of random token ids and run on any model; `QUESTIONS` are texts of the kind the demo
model was taught, for a model whose answers mean something. Output lengths are upper bounds: a trained
model may stop earlier.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Ids below this are left to special tokens.
FIRST_ID = 8

Encode = Callable[["Question"], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests for one engine: prompts as token ids, an output limit each, and one temperature.

    They are handed in together, or, with a `concurrency`, that many at once and the next when one ends.
    """

    prompts: tuple[tuple[int, ...], ...]
    max_tokens: tuple[int, ...]
    temperature: float
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A batch of random tokens. Lengths in tokens; `groups` prompts' worth of different shared prefixes.

    `period` repeats each prompt's own part with that period, which n-gram speculation finds. With
    `mixed`, prompt and output lengths vary from an eighth of the given ones up to them.
    """

    name: str
    prompts: int
    prompt_tokens: int
    shared_tokens: int
    output_tokens: int
    temperature: float = 0.0
    groups: int = 1
    period: int = 0
    mixed: bool = False

    def draw(self, seed: int, vocab: int) -> Batch:
        """The batch of this shape for a seed, the same on every machine."""
        rng = random.Random(f"{self.name}/{seed}")

        def tokens(count: int) -> list[int]:
            return [rng.randrange(FIRST_ID, vocab) for _ in range(count)]

        prefixes = [tokens(self.shared_tokens) for _ in range(self.groups)]
        prompts, outputs = [], []
        for index in range(self.prompts):
            own, output = self.prompt_tokens - self.shared_tokens, self.output_tokens
            if self.mixed:
                own, output = rng.randint(max(own // 8, 1), own), rng.randint(max(output // 8, 1), output)
            part = tokens(min(self.period, own) if self.period else own)
            repeated = (part * (own // len(part) + 1))[:own]
            prompts.append((*prefixes[index % self.groups], *repeated))
            outputs.append(output)
        return Batch(tuple(prompts), tuple(outputs), self.temperature)


SHAPES: tuple[Shape, ...] = (
    Shape("one-short", 1, 64, 0, 4),
    Shape("one-long", 1, 24, 0, 96),
    Shape("one-long-sampled", 1, 24, 0, 64, temperature=1.0),
    Shape("one-long-prompt", 1, 640, 0, 1),
    Shape("many-short", 40, 16, 0, 4, temperature=1.0),
    Shape("many-one-token", 16, 96, 0, 1),
    Shape("medium-sampled", 16, 48, 0, 16, temperature=1.0),
    Shape("medium-greedy", 8, 32, 0, 40),
    Shape("wide-sampled", 48, 12, 0, 12, temperature=1.0),
    Shape("shared-112", 20, 128, 112, 4),
    Shape("shared-70", 20, 96, 70, 8, temperature=1.0),
    Shape("shared-256", 16, 272, 256, 2),
    Shape("shared-4-groups", 20, 112, 96, 4, groups=4),
    Shape("shared-long-outputs", 4, 160, 144, 32, temperature=1.0),
    Shape("looping-prompts", 4, 96, 0, 32, period=12),
    Shape("mixed", 14, 192, 0, 24, temperature=1.0, mixed=True),
)

# Together more tokens than a tight KV cache holds, so that requests wait or are preempted.
TIGHT_SHAPES: tuple[Shape, ...] = (
    Shape("crowded", 16, 128, 0, 16, temperature=1.0),
    Shape("crowded-shared", 20, 192, 128, 12, temperature=1.0),
    Shape("crowded-long-outputs", 12, 64, 0, 48, temperature=1.0),
)


@dataclass(frozen=True, slots=True)
class Question:
    """One chat question; `system` is empty where there is none."""

    system: str
    user: str


@dataclass(frozen=True, slots=True)
class Questions:
    """Chat questions for a trained model. `family` is the kind of traffic they stand for, empty for none."""

    name: str
    prompts: int
    output_tokens: int
    write: Callable[[random.Random, int], list[Question]]
    family: str = ""
    concurrency: int | None = None
    temperature: float = 0.0

    def draw(self, seed: int, encode: Encode) -> Batch:
        """The batch for a seed, encoded by the model's own tokenizer and chat template."""
        questions = self.write(random.Random(f"{self.name}/{seed}"), self.prompts)
        prompts = tuple(tuple(encode(question)) for question in questions)
        return Batch(prompts, (self.output_tokens,) * len(prompts), self.temperature, self.concurrency)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Words of the demo model's closed vocabulary, so that its answers are answers.
_KEYS = _words(
    """
    ant ape ash axe bag ball band bank barn bat bead beam bean bear bed bee bell belt bird boat bolt
    bone book boot bow bowl box brick brush bulb bus cab cake calf camp cane cap car card cart cat cave
    chair chest clam claw clay clock cloud club coal coat cod coin colt comb cook cord cork corn cow
    crab crate crow crown cube cup dart deer desk dice dish dock dog door dove drum duck dust eel egg
    elk elm fan farm
    """
)
_VALUES = _words("amber black blue brown coral gold gray green iron ivory jade lemon pearl red silver tan")
_NAMES = ("Mira", "Ben", "Cora", "Hugo", "Olga")
_HEROES = ("fox", "otter", "rabbit", "badger")
_HOMES = ("mill", "river", "forest", "village", "harbor")


def _sums(rng: random.Random, count: int) -> list[Question]:
    return [Question("", f"{rng.randrange(1000)}+{rng.randrange(1000)}=?") for _ in range(count)]


def _sorts(rng: random.Random, count: int) -> list[Question]:
    return [Question("", f"sort({''.join(rng.choices('0123456789', k=8))})=?") for _ in range(count)]


def _stories(rng: random.Random, count: int) -> list[Question]:
    return [
        Question(
            "",
            f"Tell a story of {rng.randint(3, 10)} days about {rng.choice(_NAMES)} "
            f"the {rng.choice(_HEROES)} from the {rng.choice(_HOMES)}.",
        )
        for _ in range(count)
    ]


def _lookups(pairs: int) -> Callable[[random.Random, int], list[Question]]:
    """Questions about one table of `pairs` lines, which all of them share as their system message."""

    def write(rng: random.Random, count: int) -> list[Question]:
        keys = rng.sample(_KEYS, pairs)
        table = "\n".join(f"{key}={rng.choice(_VALUES)}" for key in keys)
        return [Question(table, f"{rng.choice(keys)}=?") for _ in range(count)]

    return write


QUESTIONS: tuple[Questions, ...] = (
    Questions("sums", 32, 8, _sums),
    Questions("sorts", 12, 16, _sorts),
    Questions("one-story", 1, 320, _stories),
    Questions("stories", 8, 160, _stories),
    Questions("lookups-short-table", 32, 6, _lookups(12)),
    Questions("lookups-long-table", 32, 6, _lookups(64)),
    Questions("four-lookups", 4, 6, _lookups(64)),
)


def _sums_and_stories(rng: random.Random, count: int) -> list[Question]:
    return [(_stories if place % 4 == 0 else _sums)(rng, 1)[0] for place in range(count)]


# The same questions asked as the kinds of traffic in `traces` are: one after the other, a few at once, in bursts.
ASKED_LIKE_TRAFFIC: tuple[Questions, ...] = (
    Questions("chat-stories-two-at-once", 4, 120, _stories, "chat", concurrency=2),
    Questions("chat-stories-sampled", 5, 120, _stories, "chat", temperature=1.0),
    Questions("chat-sums-and-stories", 16, 80, _sums_and_stories, "chat", concurrency=4),
    Questions("evaluation-sums", 64, 8, _sums, "evaluation", concurrency=16),
    Questions("evaluation-sorts", 24, 16, _sorts, "evaluation", concurrency=8),
    Questions("agent-lookups", 8, 6, _lookups(64), "agent", concurrency=1),
    Questions("retrieval-lookup", 1, 6, _lookups(76), "retrieval"),
)
