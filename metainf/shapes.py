"""Model shapes to measure without their weights: a `config.json` is enough, speed does not depend on values.

The two Llamas and the Qwen are the published configurations (Hugging Face `config.json` of Llama-3.2-1B,
Llama-3.1-8B and Qwen2.5-7B) with a shorter window and without end token, so that lengths are as asked. One
precision each: `bfloat16`, in which they are published.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder whose weights are drawn at load. `architecture` is what vLLM calls its class."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    max_model_len: int
    dtype: str = "float32"
    tied: bool = False
    rope_theta: float = 10000.0
    architecture: str = "LlamaForCausalLM"
    model_type: str = "llama"

    def write(self, folder: Path) -> Path:
        """Put its `config.json` into a folder of its name; the folder."""
        model_dir = folder / self.name
        model_dir.mkdir(parents=True, exist_ok=True)
        config = {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.hidden // self.heads,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocab,
            "max_position_embeddings": self.max_model_len,
            "rms_norm_eps": 1e-05,
            "rope_theta": self.rope_theta,
            "hidden_act": "silu",
            "tie_word_embeddings": self.tied,
            "bos_token_id": None,
            "eos_token_id": None,
            "dtype": self.dtype,
        }
        (model_dir / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return model_dir


# Of about the demo model's size, for one core.
RANDOM_MODELS: tuple[ModelShape, ...] = (
    ModelShape("llama-7m", 256, 6, 4, 4, 768, 4096, 1024),
    ModelShape("llama-32m", 512, 8, 8, 4, 1536, 8192, 1024),
)
# Two more, for which the traffic of `traces` is played: few wide layers under a large vocabulary, many narrow ones
# under a small one.
TRAFFIC_MODELS: tuple[ModelShape, ...] = (
    ModelShape("llama-46m-wide", 768, 3, 12, 4, 2048, 16384, 1024),
    ModelShape("llama-14m-deep", 256, 14, 4, 1, 768, 4096, 1024),
)

_GPU_WINDOW = 8192
GPU_MODELS: tuple[ModelShape, ...] = (
    ModelShape(
        "llama-3.2-1b", 2048, 16, 32, 8, 8192, 128256, _GPU_WINDOW, "bfloat16", tied=True, rope_theta=500000.0
    ),
    ModelShape("llama-3.1-8b", 4096, 32, 32, 8, 14336, 128256, _GPU_WINDOW, "bfloat16", rope_theta=500000.0),
    ModelShape(
        "qwen2.5-7b",
        3584,
        28,
        28,
        4,
        18944,
        152064,
        _GPU_WINDOW,
        "bfloat16",
        rope_theta=1000000.0,
        architecture="Qwen2ForCausalLM",
        model_type="qwen2",
    ),
)
