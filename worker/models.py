"""The models this worker serves: directory, identity, tokenizer, and the facts the selector needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.tokenizer import Tokenizer
from metainf import ModelFacts
from protocol.manifest import build_manifest, model_id


@dataclass(frozen=True, slots=True)
class ServedModel:
    """`window` is the number of tokens a prompt and its output may have together."""

    id: bytes
    path: Path
    tokenizer: Tokenizer
    facts: ModelFacts
    window: int


def serve(paths: Sequence[Path]) -> Mapping[bytes, ServedModel]:
    """Read each directory once: hash its files, load its tokenizer. Raises NotAModel and the rooms' own errors."""
    served = {}
    for path in paths:
        facts = ModelFacts.from_dir(path)
        model = ServedModel(
            id=model_id(build_manifest(path)),
            path=path,
            tokenizer=Tokenizer(path),
            facts=facts,
            window=facts.max_model_len,
        )
        served[model.id] = model
    return served
