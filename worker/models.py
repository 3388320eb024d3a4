"""The models this worker serves: directory, identity, tokenizer, and the facts the selector needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.tokenizer import Tokenizer
from metainf import ModelFacts
from protocol.manifest import build_manifest, model_id


@dataclass(frozen=True, slots=True)
class ServedModel:
    """`window` is how many tokens a prompt and its output may have together, `dtype` what its weights are sold as."""

    id: bytes
    path: Path
    tokenizer: Tokenizer
    facts: ModelFacts
    window: int
    dtype: str


def serve(paths: Sequence[Path]) -> Mapping[bytes, ServedModel]:
    """Read each directory once: hash its files, load its tokenizer. Raises NotAModel and the rooms' own errors."""
    served = {}
    for path in paths:
        facts = ModelFacts.from_dir(path)
        manifest = build_manifest(path)
        model = ServedModel(
            id=model_id(manifest),
            path=path,
            tokenizer=Tokenizer(path),
            facts=facts,
            window=facts.max_model_len,
            dtype=manifest.variants[0].dtype,
        )
        served[model.id] = model
    return served
