"""A machine, models and a tiny model directory that tests share."""

import json
from pathlib import Path

import pytest

from metainf import HardwareFacts, ModelFacts, Selector, Strategy, catalogue

VLLM_VERSION = "0.32.0"


@pytest.fixture(scope="session")
def machine() -> HardwareFacts:
    return HardwareFacts(
        device="cpu",
        name="test CPU",
        cores=1,
        memory_bytes=16 << 30,
        kv_cache_bytes=256 << 20,
        memory_bytes_per_s=40_000_000_000,
        peak_flops=100_000_000_000,
    )


@pytest.fixture(scope="session")
def model(tiny_model_dir: Path) -> ModelFacts:
    return ModelFacts.from_dir(tiny_model_dir)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of about 0.3M parameters without weights, so that an engine draws them."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "intermediate_size": 128,
        "vocab_size": 512,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def strategies() -> tuple[Strategy, ...]:
    return catalogue("cpu", VLLM_VERSION)


@pytest.fixture(scope="session")
def selector() -> Selector:
    return Selector.load()
