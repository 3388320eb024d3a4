"""Workloads with the shapes of published traffic: lengths, what prompts share, how many requests run at once.

Lengths, turns and shares are those of the sources below; nobody's text is used. A `Replay` scales lengths down (a
small model on one core reads in a second what a server reads in milliseconds) and keeps their ratios. Arrivals are a
closed loop: `concurrency` requests run at once and the next is handed in when one ends, which is how agents and
evaluation harnesses ask, and which, unlike arrivals by the clock, gives an engine the same batches on a busy machine.
A burst, as BurstGPT (arXiv 2401.17644) finds most services to have, is a batch that arrives together.
"""

import random
from dataclasses import dataclass
from math import exp
from typing import Literal

from metainf.workloads import FIRST_ID, Batch

Family = Literal["chat", "code", "evaluation", "agent", "retrieval"]
FAMILIES: tuple[Family, ...] = ("chat", "code", "evaluation", "agent", "retrieval")

# Sampled lengths keep within this factor of the typical one, so that no cell takes minutes.
_WIDEST = 2.0


@dataclass(frozen=True, slots=True)
class Trace:
    """What is published of one kind of traffic, in tokens a request.

    A prompt is `shared_tokens` that all requests of its group begin with, what its session has said so far, and
    `own_tokens` of its own; the answer has about `output_tokens`. Own lengths and answers vary log-normally by
    `spread`. `copied_ratio` of the own part repeats earlier runs of the same prompt, as code and tables do. Figures a
    source does not give are marked in `assumed`.
    """

    name: str
    family: Family
    source: str
    own_tokens: int
    output_tokens: int
    shared_tokens: int = 0
    spread: float = 0.0
    copied_ratio: float = 0.0
    temperature: float = 0.0
    assumed: str = ""


LMSYS_CHAT = Trace(
    "lmsys-chat",
    "chat",
    "LMSYS-Chat-1M (arXiv 2309.11998), table 1: 69.5 tokens a prompt, 214.5 a response, 2.0 turns a conversation",
    own_tokens=70,
    output_tokens=214,
    spread=0.5,
    temperature=1.0,
    assumed="spread, temperature",
)
SHARE_GPT = Trace(
    "sharegpt",
    "chat",
    "ShareGPT as in vLLM's paper (arXiv 2309.06180), figure 11: mean input 161.31, mean output 337.99 tokens",
    own_tokens=161,
    output_tokens=338,
    spread=0.5,
    assumed="spread",
)
AZURE_CONVERSATION = Trace(
    "azure-conversation",
    "chat",
    "Azure LLM inference trace 2023 (Splitwise, ISCA 2024, section III.A): median prompt 1020, output 129 tokens",
    own_tokens=510,
    output_tokens=129,
    shared_tokens=510,
    spread=0.7,
    temperature=1.0,
    assumed="half of a prompt is shared (Mooncake, arXiv 2407.00079: up to 50 % of its traffic hits the cache), spread",
)
AZURE_CODE = Trace(
    "azure-code",
    "code",
    "Azure LLM inference trace 2023 (Splitwise, ISCA 2024, section III.A): median prompt 1500, output 13 tokens",
    own_tokens=300,
    output_tokens=13,
    shared_tokens=1200,
    spread=0.3,
    copied_ratio=0.5,
    assumed="four fifths of a prompt are the file around the cursor, the same for the next request; half repeats",
)
MMLU = Trace(
    "mmlu-5-shot",
    "evaluation",
    "MMLU (arXiv 2009.03300): five solved questions before each, the same for a subject; the answer is one letter",
    own_tokens=100,
    output_tokens=1,
    shared_tokens=500,
    spread=0.3,
    assumed="100 tokens a question",
)
TRANSLATION = Trace(
    "wmt16-5-shot",
    "evaluation",
    "WMT16 with five examples as shared prefix, as in vLLM's paper (arXiv 2309.06180, section 6.4)",
    own_tokens=60,
    output_tokens=60,
    shared_tokens=340,
    spread=0.4,
    assumed="60 tokens a sentence",
)
CODING_AGENT = Trace(
    "coding-agent",
    "agent",
    "SyFI TraceLab (University of Washington, 357,161 agent steps): median step replays 126,180 cached tokens, appends "
    "857, writes 252 (one of two agents); 115,584, 886, 184 (the other)",
    own_tokens=857,
    output_tokens=252,
    shared_tokens=12_618,
    spread=0.6,
    copied_ratio=0.3,
    assumed="a tenth of the replayed context, as no small model holds more; three tenths of what is appended repeats",
)
TOOL_AGENT = Trace(
    "tool-agent",
    "agent",
    "Mooncake traces (arXiv 2407.00079): half of the prompt tokens are those of earlier requests",
    own_tokens=4000,
    output_tokens=180,
    shared_tokens=4000,
    spread=0.5,
    temperature=1.0,
    assumed="the lengths; answers are calls of tools",
)
LONG_BENCH = Trace(
    "longbench",
    "retrieval",
    "LongBench (arXiv 2308.14508): 6,711 English words of documents a question on average, answers of a few words",
    own_tokens=8700,
    output_tokens=100,
    spread=0.3,
    assumed="1.3 tokens a word, spread, 100 tokens an answer",
)
SHARED_DOCUMENTS = Trace(
    "shared-documents",
    "retrieval",
    "As LongBench, with documents that several questions meet (RAGCache, arXiv 2404.12457, caches them for that)",
    own_tokens=700,
    output_tokens=100,
    shared_tokens=8000,
    spread=0.3,
    assumed="how much is shared",
)
TRACES: tuple[Trace, ...] = (
    LMSYS_CHAT,
    SHARE_GPT,
    AZURE_CONVERSATION,
    AZURE_CODE,
    MMLU,
    TRANSLATION,
    CODING_AGENT,
    TOOL_AGENT,
    LONG_BENCH,
    SHARED_DOCUMENTS,
)


@dataclass(frozen=True, slots=True)
class Replay:
    """A trace played to an engine: `sessions` of `turns` requests each, lengths times `scale`.

    A turn's prompt is that of the turn before, its answer and new tokens. Sessions share the trace's prefix in
    `groups`. `concurrency`, by default all, is how many requests run at once.
    """

    name: str
    trace: Trace
    scale: float
    sessions: int
    turns: int = 1
    groups: int = 1
    concurrency: int | None = None

    @property
    def family(self) -> Family:
        """That of the trace."""
        return self.trace.family

    def draw(self, seed: int, vocab: int, window: int) -> Batch:
        """The batch for a seed, the same on every machine. Prompts are cut from the left to fit `window`, in tokens."""
        rng = random.Random(f"{self.name}/{seed}")
        shared, copied = self._scaled(self.trace.shared_tokens), self.trace.copied_ratio
        prefixes = [_partly_copied(rng, (), shared, copied, vocab) for _ in range(self.groups)]
        requests = [
            self._session(rng, prefixes[index % self.groups], vocab) for index in range(self.sessions)
        ]
        # All first turns, then all second ones: a session's next turn comes after its last.
        ordered = [turns[turn] for turn in range(self.turns) for turns in requests]
        outputs = tuple(min(output, window // 2) for _, output in ordered)
        prompts = tuple(
            prompt[-(window - output) :] for (prompt, _), output in zip(ordered, outputs, strict=True)
        )
        return Batch(prompts, outputs, self.trace.temperature, self.concurrency)

    def _session(
        self, rng: random.Random, prefix: tuple[int, ...], vocab: int
    ) -> list[tuple[tuple[int, ...], int]]:
        said, turns = prefix, []
        for _ in range(self.turns):
            own = self._varied(rng, self.trace.own_tokens)
            output = self._varied(rng, self.trace.output_tokens)
            said = (*said, *_partly_copied(rng, said, own, self.trace.copied_ratio, vocab))
            turns.append((said, output))
            said = (*said, *_tokens(rng, output, vocab))
        return turns

    def _scaled(self, tokens: int) -> int:
        return round(tokens * self.scale)

    def _varied(self, rng: random.Random, tokens: int) -> int:
        factor = exp(rng.gauss(0.0, self.trace.spread))
        return max(1, self._scaled(round(tokens * min(max(factor, 1 / _WIDEST), _WIDEST))))


def _tokens(rng: random.Random, count: int, vocab: int) -> tuple[int, ...]:
    return tuple(rng.randrange(FIRST_ID, vocab) for _ in range(count))


# Tokens in a copied run: a name with what stands around it.
_COPIED_RUN = 6


def _partly_copied(
    rng: random.Random, said: tuple[int, ...], count: int, copied_ratio: float, vocab: int
) -> tuple[int, ...]:
    """`count` tokens, of which about `copied_ratio` are runs of what stands before them."""
    written = list(said)
    while len(written) < len(said) + count:
        if rng.random() < copied_ratio and len(written) > _COPIED_RUN:
            start = rng.randrange(len(written) - _COPIED_RUN)
            written += written[start : start + _COPIED_RUN]
        else:
            written += _tokens(rng, _COPIED_RUN, vocab)
    return tuple(written[len(said) : len(said) + count])


# For models with a window of a thousand tokens or more, about a second on one core.
SMALL_REPLAYS: tuple[Replay, ...] = (
    Replay("chat-lmsys-burst", LMSYS_CHAT, 0.2, sessions=4),
    Replay("chat-lmsys-two-turns", LMSYS_CHAT, 0.1, sessions=4, turns=2, concurrency=4),
    Replay("chat-sharegpt-one", SHARE_GPT, 0.2, sessions=1),
    Replay("chat-azure-system-prompt", AZURE_CONVERSATION, 0.12, sessions=6),
    Replay("code-azure-typing", AZURE_CODE, 0.25, sessions=5, concurrency=1),
    Replay("code-azure-team", AZURE_CODE, 0.12, sessions=12, groups=3, concurrency=4),
    Replay("code-azure-one", AZURE_CODE, 0.5, sessions=1),
    Replay("eval-mmlu-subject", MMLU, 0.25, sessions=24),
    Replay("eval-mmlu-three-subjects", MMLU, 0.2, sessions=24, groups=3, concurrency=8),
    Replay("eval-translation", TRANSLATION, 0.25, sessions=10),
    Replay("agent-one-session", CODING_AGENT, 0.03, sessions=1, turns=5, concurrency=1),
    Replay("agent-four-sessions", CODING_AGENT, 0.02, sessions=4, turns=3, groups=4, concurrency=4),
    Replay("agent-tools", TOOL_AGENT, 0.03, sessions=6),
    Replay("retrieval-one", LONG_BENCH, 0.08, sessions=1),
    Replay("retrieval-queue", LONG_BENCH, 0.025, sessions=4, concurrency=2),
    Replay("retrieval-shared", SHARED_DOCUMENTS, 0.03, sessions=6, groups=2),
)
# At real lengths, for a window of eight thousand tokens and a GPU: a tenth of a second to a few seconds.
LARGE_REPLAYS: tuple[Replay, ...] = (
    Replay("chat-lmsys-one", LMSYS_CHAT, 1.0, sessions=1),
    Replay("chat-lmsys-burst", LMSYS_CHAT, 1.0, sessions=64),
    Replay("chat-lmsys-two-turns", LMSYS_CHAT, 1.0, sessions=16, turns=2, concurrency=16),
    Replay("chat-sharegpt-one", SHARE_GPT, 1.0, sessions=1),
    Replay("chat-sharegpt-queue", SHARE_GPT, 1.0, sessions=48, concurrency=16),
    Replay("chat-sharegpt-burst", SHARE_GPT, 1.0, sessions=256),
    Replay("chat-azure-system-prompt", AZURE_CONVERSATION, 1.0, sessions=48),
    Replay("chat-azure-trickle", AZURE_CONVERSATION, 1.0, sessions=12, concurrency=4),
    Replay("code-azure-one", AZURE_CODE, 1.0, sessions=1),
    Replay("code-azure-typing", AZURE_CODE, 1.0, sessions=16, concurrency=1),
    Replay("code-azure-team", AZURE_CODE, 1.0, sessions=64, groups=8, concurrency=16),
    Replay("code-azure-burst", AZURE_CODE, 1.0, sessions=96, groups=96),
    Replay("eval-mmlu-subject", MMLU, 1.0, sessions=256),
    Replay("eval-mmlu-subjects", MMLU, 1.0, sessions=256, groups=16, concurrency=64),
    Replay("eval-translation", TRANSLATION, 1.0, sessions=128),
    Replay("eval-translation-queue", TRANSLATION, 1.0, sessions=64, concurrency=16),
    Replay("agent-one-session", CODING_AGENT, 0.3, sessions=1, turns=6, concurrency=1),
    Replay("agent-eight-sessions", CODING_AGENT, 0.3, sessions=8, turns=4, groups=8, concurrency=8),
    Replay("agent-tools", TOOL_AGENT, 0.8, sessions=32),
    Replay("agent-tools-apart", TOOL_AGENT, 0.8, sessions=16, groups=16, concurrency=8),
    Replay("retrieval-one", LONG_BENCH, 0.8, sessions=1),
    Replay("retrieval-queue", LONG_BENCH, 0.8, sessions=12, concurrency=4),
    Replay("retrieval-burst", LONG_BENCH, 0.4, sessions=32),
    Replay("retrieval-shared", SHARED_DOCUMENTS, 0.8, sessions=48, groups=6),
)
