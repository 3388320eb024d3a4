"""A head start for recall: attention that begins as an induction circuit instead of waiting for one to appear.

Left to itself a model this small reads tables at chance for thousands of steps. So layer 0 starts with heads that
look one, two and three tokens back, and layer 1 with heads that match the key of the question against the key
two tokens before each value. All of it is trained further like any other weight.
"""

from __future__ import annotations

import torch
from transformers import LlamaForCausalLM

LOOK_BACK_SHARPNESS = 5.0
WRITE_SCALE = 0.1
MATCH_SCALE = 1.3

KEY_TO_VALUE = 2
"""A table line is key, `=`, value: from the value the key is two tokens back."""

KEY_TO_QUESTION_END = (3, 1)
"""Chat ends key, `=?`, end, assistant: three back. Bare text ends key, `=`: one back."""


def give_head_start(model: LlamaForCausalLM) -> None:
    """Set the first two layers' attention of a fresh `model`; it needs attention biases and three heads or more.

    Each look-back head of layer 0 writes a quarter of the width, so that they do not disturb each other; the match
    in layer 1 uses the slow half of the rotary frequencies, which hardly turn over a whole table.
    """
    config = model.config
    size, half, quarter = config.head_dim, config.head_dim // 2, config.hidden_size // 4
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    turn = config.rope_parameters["rope_theta"] ** (-torch.arange(half) / half)
    read = torch.nn.init.orthogonal_(torch.empty(quarter, config.hidden_size))
    basis = torch.nn.init.orthogonal_(torch.empty(config.hidden_size, config.hidden_size))
    write = dict(zip((1, 2, 3), basis.split(quarter, dim=1), strict=False))
    slow = torch.cat((torch.arange(half - quarter // 2, half), torch.arange(size - quarter // 2, size)))
    with torch.no_grad():
        for head, offset in enumerate(write):
            rows = slice(head * size, (head + 1) * size)
            cosine, sine = torch.cos(offset * turn), torch.sin(offset * turn)
            first.k_proj.bias[rows] = LOOK_BACK_SHARPNESS * torch.cat((torch.ones(half), torch.zeros(half)))
            first.q_proj.bias[rows] = LOOK_BACK_SHARPNESS * torch.cat((cosine, -sine))
            first.v_proj.weight[head * size : head * size + quarter] = read
            first.o_proj.weight[:, head * size : head * size + quarter] = WRITE_SCALE * write[offset]
        for head, offset in enumerate(KEY_TO_QUESTION_END):
            second.q_proj.weight[head * size + slow] = MATCH_SCALE * write[offset].T
            second.k_proj.weight[head * size + slow] = MATCH_SCALE * write[KEY_TO_VALUE].T
