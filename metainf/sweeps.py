"""The sweep the shipped CPU table comes from: the demo model and random models of other shapes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from metainf.catalogue import catalogue
from metainf.facts import HardwareFacts, ModelFacts
from metainf.measure import Setting, Sweep, Task, chat_encoder
from metainf.workloads import QUESTIONS, SHAPES, TIGHT_SHAPES, Shape

KV_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class RandomModel:
    """A Llama whose weights are drawn at load; speed does not depend on their values."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    max_model_len: int

    def write(self, folder: Path) -> Path:
        """Put its `config.json` into a folder of its name; the folder. Without end token, so lengths
        are as asked.
        """
        model_dir = folder / self.name
        model_dir.mkdir(parents=True, exist_ok=True)
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.hidden // self.heads,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocab,
            "max_position_embeddings": self.max_model_len,
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": None,
            "dtype": "float32",
        }
        (model_dir / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return model_dir


RANDOM_MODELS: tuple[RandomModel, ...] = (
    RandomModel("llama-7m", 256, 6, 4, 4, 768, 4096, 1024),
    RandomModel("llama-32m", 512, 8, 8, 4, 1536, 8192, 1024),
)
# Holds one full-length sequence of the greatest model and little more.
TIGHT_KV_CACHE_BYTES = 24 << 20
# Holds none, so vLLM refuses to start: what the memory model of `feasible` must foresee.
TOO_SMALL_KV_CACHE_BYTES = 8 << 20


def cpu_sweep(
    demo_model: Path | None,
    work_folder: Path,
    hardware: HardwareFacts,
    vllm_version: str,
    repeats: int = 3,
    resident: int = 4,
) -> Sweep:
    """Every CPU strategy on every shape, and on the demo model's own questions if its folder is given.

    `work_folder` receives the random models' configurations.
    """
    roomy = replace(hardware, kv_cache_bytes=KV_CACHE_BYTES)
    settings = [
        Setting(model.name, model.write(work_folder), roomy, _shape_tasks(SHAPES, model.vocab))
        for model in RANDOM_MODELS
    ]
    greatest = RANDOM_MODELS[-1]
    for kv_cache_bytes, shapes in (
        (TIGHT_KV_CACHE_BYTES, TIGHT_SHAPES),
        (TOO_SMALL_KV_CACHE_BYTES, SHAPES[:1]),
    ):
        tight = replace(hardware, kv_cache_bytes=kv_cache_bytes)
        folder = work_folder / greatest.name
        settings.append(Setting(greatest.name, folder, tight, _shape_tasks(shapes, greatest.vocab)))
    if demo_model is not None:
        settings.append(Setting(demo_model.name, demo_model, roomy, _demo_tasks(demo_model)))
    return Sweep(tuple(settings), catalogue("cpu", vllm_version), repeats, resident)


def _shape_tasks(shapes: Sequence[Shape], vocab: int) -> tuple[Task, ...]:
    return tuple(Task(shape.name, partial(shape.draw, vocab=vocab)) for shape in shapes)


def _demo_tasks(model_dir: Path) -> tuple[Task, ...]:
    """Its own questions, and the shapes whose cost lies in reading prompts."""
    encode = chat_encoder(model_dir)
    asked = tuple(Task(questions.name, partial(questions.draw, encode=encode)) for questions in QUESTIONS)
    reading = [shape for shape in SHAPES if shape.output_tokens <= 4]
    return asked + _shape_tasks(reading, ModelFacts.from_dir(model_dir).vocab)
