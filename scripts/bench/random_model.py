"""A servable model of a given shape: weights drawn at random, the demo model's tokenizer, no end token."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engine.tokenizer import Tokenizer
from metainf.shapes import RANDOM_MODELS, TRAFFIC_MODELS

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
SHAPES = {shape.name: shape for shape in (*RANDOM_MODELS, *TRAFFIC_MODELS)}


def write_random_model(name: str, tokenizer_dir: Path, folder: Path) -> Path:
    """The model's directory in `folder`. Its vocabulary is the tokenizer's, so that every output is text."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file in _TOKENIZER_FILES:
        shutil.copy(tokenizer_dir / file, folder / name)
    shape = replace(SHAPES[name], vocab=Tokenizer(tokenizer_dir).vocab_size)
    model_dir = shape.write(folder)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model_dir)).save_pretrained(model_dir)
    return model_dir
