"""What the files of a model directory say of its shape and weights, read without loading any."""

import json
import struct
from collections import defaultdict
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from metainf.errors import ModelUnreadable

if TYPE_CHECKING:
    from protocol.digest import JsonValue

# By the names that configurations use, and those of safetensors.
BYTES_PER_DTYPE = {
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "F32": 4,
    "BF16": 2,
    "F16": 2,
    "I8": 1,
    "F8_E4M3": 1,
}
# The limit of the safetensors library itself.
_MOST_HEADER_BYTES = 100_000_000


def read_config(model_dir: Path) -> "dict[str, JsonValue]":
    """The object in `config.json`. Raises `ModelUnreadable`."""
    try:
        config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelUnreadable(str(model_dir), f"config.json cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ModelUnreadable(str(model_dir), "config.json is not JSON") from error
    if not isinstance(config, dict):
        raise ModelUnreadable(str(model_dir), "config.json is not an object")
    return config


def stored_weights(files: Sequence[Path]) -> tuple[int, int]:
    """Number of parameters and bytes of the commonest dtype, from safetensors headers; zeros without files.

    The format is that of https://github.com/huggingface/safetensors: eight bytes of length, then a JSON header. Raises
    `ModelUnreadable` for a file that does not begin so.
    """
    parameters = 0
    per_dtype: dict[str, int] = defaultdict(int)
    for path in files:
        for dtype, count in _tensors(path):
            parameters += count
            per_dtype[dtype] += count
    commonest = max(per_dtype, key=lambda dtype: (per_dtype[dtype], dtype), default="")
    return parameters, BYTES_PER_DTYPE.get(commonest, 0)


def _tensors(path: Path) -> list[tuple[str, int]]:
    """Dtype and number of elements of each tensor in a safetensors file."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            written = file.read(min(length, _MOST_HEADER_BYTES))
        header = json.loads(written if len(written) == length else b"")
        return [
            (tensor["dtype"], prod(tensor["shape"]))
            for name, tensor in header.items()
            if name != "__metadata__"
        ]
    except OSError as error:
        raise ModelUnreadable(str(path), f"it cannot be read ({error.strerror})") from error
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnreadable(str(path), "it is no safetensors file, or was cut short") from error


def llama_parameters(
    *,
    layers: int,
    hidden: int,
    intermediate: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    vocab: int,
    experts: int,
    tied: bool,
) -> int:
    """Parameters of a Llama of this shape: attention, gated feed-forward (of every expert), norms, embeddings, head."""
    attention = hidden * head_dim * (2 * heads + 2 * kv_heads)
    feed_forward = 3 * hidden * intermediate * max(experts, 1) + hidden * experts
    norms = 2 * hidden
    return layers * (attention + feed_forward + norms) + hidden + vocab * hidden * (1 if tied else 2)
