"""What a strategy needs of a device's memory, part by part, before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass

from metainf.checkpoint import BYTES_PER_DTYPE
from metainf.facts import HardwareFacts, ModelFacts
from metainf.strategy import Strategy, whole

# Buffers a decoder layer holds for a step beside its input: query, key, value, attention output, residual.
_HIDDEN_COPIES = 6
# What vLLM sets aside for captured graphs is of this order (`cudagraph` lines of its log); eager engines need none.
_GRAPH_BYTES = 1 << 30

_WEIGHT_BYTES = {"fp8": 1, "int8_per_channel_weight_only": 1}
_KV_BYTES = {"fp8": 1}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on each device. `activation_bytes` is an upper estimate for the fullest step."""

    weight_bytes: int
    kv_bytes: int
    activation_bytes: int
    graph_bytes: int
    kv_bytes_per_token: int

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes + self.graph_bytes

    @property
    def kv_tokens(self) -> int:
        """How many tokens the KV cache holds."""
        return self.kv_bytes // max(self.kv_bytes_per_token, 1)

    @classmethod
    def of(cls, model: ModelFacts, hardware: HardwareFacts, strategy: Strategy) -> "Memory":
        """Of a model under a strategy; the KV cache is the machine's `kv_cache_bytes`, however it is shared out."""
        arguments = strategy.engine_args
        tensor = whole(arguments, "tensor_parallel_size")
        devices = tensor * whole(arguments, "pipeline_parallel_size")
        head = model.vocab * model.hidden
        weight_bytes = _WEIGHT_BYTES.get(str(arguments.get("quantization")), model.weight_bytes_per_param)
        # Embeddings and the head keep their type where layers are quantised.
        weights = (model.parameters - 2 * head) * weight_bytes + 2 * head * model.weight_bytes_per_param
        dtype_bytes = BYTES_PER_DTYPE.get(model.dtype, 4)
        steps = whole(arguments, "max_num_batched_tokens")
        speculative = arguments["speculative_config"]
        drafts = whole(speculative, "num_speculative_tokens") if isinstance(speculative, Mapping) else 0
        sampled = min(whole(arguments, "max_num_seqs") * (1 + drafts), steps)
        layer = steps * (_HIDDEN_COPIES * model.hidden + 2 * model.intermediate) * dtype_bytes
        kv_scale = _KV_BYTES.get(str(arguments["kv_cache_dtype"]), dtype_bytes) / dtype_bytes
        return cls(
            weight_bytes=max(weights, 0) // devices,
            kv_bytes=hardware.kv_cache_bytes,
            # Logits are single precision whatever the model's dtype.
            activation_bytes=layer // tensor + sampled * model.vocab * 4,
            graph_bytes=0 if arguments["enforce_eager"] or hardware.device == "cpu" else _GRAPH_BYTES,
            kv_bytes_per_token=round(model.kv_bytes_per_token * kv_scale) // devices,
        )
