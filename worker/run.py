"""How a group of tasks is run: the choice and the engine, as they stand in all their receipts."""

import base64
from dataclasses import dataclass
from typing import TypedDict

from engine.base import EngineFacts
from metainf import Choice
from protocol.digest import canonical_json, sha256


class RunJson(TypedDict):
    """A run as it is written down; `selection` and `engine` in base64, for their bytes are what is hashed."""

    strategy: str
    strategy_digest: str
    why: str
    start_secs: float
    selection: str
    engine: str


@dataclass(frozen=True, slots=True)
class Run:
    """The same in all receipts of a group: `selection` and `engine` as canonical JSON."""

    strategy: str
    strategy_digest: str
    why: str
    start_secs: float
    selection: bytes
    engine: bytes

    @staticmethod
    def of(choice: Choice, facts: EngineFacts) -> "Run":
        return Run(
            strategy=choice.strategy.name,
            strategy_digest=choice.record.chosen_digest,
            why=choice.reason,
            start_secs=facts.start_secs,
            selection=canonical_json(choice.record.to_json()),
            engine=engine_bytes(facts),
        )

    @property
    def selection_digest(self) -> bytes:
        return sha256(self.selection)

    @property
    def engine_digest(self) -> bytes:
        return sha256(self.engine)

    def to_json(self) -> RunJson:
        """For writing down; the inverse is `from_json`."""
        return {
            "strategy": self.strategy,
            "strategy_digest": self.strategy_digest,
            "why": self.why,
            "start_secs": self.start_secs,
            "selection": base64.b64encode(self.selection).decode(),
            "engine": base64.b64encode(self.engine).decode(),
        }

    @staticmethod
    def from_json(values: RunJson) -> "Run":
        return Run(
            strategy=values["strategy"],
            strategy_digest=values["strategy_digest"],
            why=values["why"],
            start_secs=values["start_secs"],
            selection=base64.b64decode(values["selection"]),
            engine=base64.b64decode(values["engine"]),
        )


def engine_bytes(facts: EngineFacts) -> bytes:
    """What a receipt says of the engine, as it is hashed."""
    return canonical_json(facts.digestible())
