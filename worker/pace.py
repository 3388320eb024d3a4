"""How long what is in an engine will still take, from how it goes."""

from collections.abc import Iterable
from dataclasses import dataclass

# Earlier, or with fewer tokens, a speed says nothing.
_LEAST_SECS, _LEAST_TOKENS = 5.0, 8
# What is assumed of output lengths weighs as much as so many tokens seen.
_ASSUMED_TOKENS = 1_000.0
# Of so many tokens that were allowed something is remembered.
_REMEMBERED_TOKENS = 40_000


@dataclass(slots=True)
class OutputShare:
    """How much of the tokens they may produce prompts do produce; all of them until outputs say otherwise."""

    made: float = _ASSUMED_TOKENS
    allowed: float = _ASSUMED_TOKENS

    def add(self, made: int, allowed: int) -> None:
        """A finished prompt; old ones count ever less."""
        fade = max(0.0, 1 - allowed / _REMEMBERED_TOKENS)
        self.made, self.allowed = self.made * fade + made, self.allowed * fade + allowed

    @property
    def value(self) -> float:
        return min(1.0, self.made / self.allowed)


@dataclass(frozen=True, slots=True)
class Open:
    """A prompt that is not finished: its tokens so far, those it may have, seconds since its first."""

    tokens: int
    most_tokens: int
    secs: float


def left_secs(
    unfinished: Iterable[Open], fresh_tokens: int, secs: float, output_share: float
) -> float | None:
    """What a task still takes: all that is missing at the speed of the whole, or the slowest prompt at its own.

    `fresh_tokens` came in the `secs` since the first of them: what it waited before says nothing of its speed. None
    while nothing can be told.
    """
    if secs < _LEAST_SECS or fresh_tokens < _LEAST_TOKENS:
        return None
    missing, slowest = 0.0, 0.0
    for prompt in unfinished:
        left = max(1.0, output_share * prompt.most_tokens - prompt.tokens)
        missing += left
        if prompt.tokens >= _LEAST_TOKENS and prompt.secs >= _LEAST_SECS:
            slowest = max(slowest, left * prompt.secs / prompt.tokens)
    return max(missing * secs / fresh_tokens, slowest)
