"""A model, a machine and the strategies that tests of features and selection start from."""

from metainf import HardwareFacts, ModelFacts, catalogue

MODEL = ModelFacts(
    parameters=32_000_000,
    layers=8,
    hidden=512,
    intermediate=1536,
    heads=8,
    kv_heads=4,
    head_dim=64,
    vocab=8192,
    dtype="float32",
    weight_bytes_per_param=4,
    max_model_len=1024,
    experts=0,
    random_weights=True,
)
MACHINE = HardwareFacts("cpu", "test CPU", 1, 16 << 30, 256 << 20, 40_000_000_000, 100_000_000_000)
STRATEGIES = catalogue("cpu", "0.32.0")
