"""A model, a machine and the strategies that tests of features and selection start from."""

from collections.abc import Sequence

from metainf import HardwareFacts, ModelFacts, Prediction, catalogue
from metainf.table import Measurement

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


def predicted(strategy, total_secs, *, bound_secs=None, restart_secs=0.0, p_failure=0.0):
    return Prediction(
        strategy=strategy,
        total_secs=total_secs,
        prefill_secs=total_secs / 2,
        decode_secs=total_secs / 2,
        bound_secs=bound_secs or total_secs * 1.2,
        p_failure=p_failure,
        restart_secs=restart_secs,
    )


def of_few_tasks(rows: Sequence[Measurement], count: int) -> list[Measurement]:
    """The rows of that many tasks, evenly from all: training takes as long however large a table grows."""
    names = sorted({row.task_id for row in rows})
    few = {names[place * len(names) // count] for place in range(count)}
    return [row for row in rows if row.task_id in few]
