"""How a step ends: with a finding, a refutation, or for want of something."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.digest import JsonValue


@dataclass(frozen=True, slots=True)
class Finding:
    """The step holds; `sentence` says what was shown."""

    sentence: str
    figures: Mapping[str, JsonValue] = field(default_factory=dict)


class Refuted(Exception):
    """The step does not hold: what was found speaks against the job."""

    def __init__(self, sentence: str, figures: Mapping[str, JsonValue] | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.figures = figures or {}


class Lacking(Exception):
    """The step could not be done; `sentence` names what is needed."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def counted(number: int, thing: str) -> str:
    """`1 prompt`, `1,024 prompts`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
