"""The sweeps: that of the shipped CPU table, and that of a GPU; which models, which workloads, which strategies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from metainf.catalogue import catalogue, installed_extras
from metainf.compatibility import Surroundings, offered
from metainf.errors import ShapeUnknown
from metainf.facts import HardwareFacts, ModelFacts
from metainf.gpu import Gpu
from metainf.measure import Setting, Task, chat_encoder
from metainf.planner import Sweep
from metainf.shapes import GPU_MODELS, RANDOM_MODELS, TRAFFIC_MODELS, ModelShape
from metainf.strategy import Strategy
from metainf.table import Measurement
from metainf.traces import LARGE_REPLAYS, SMALL_REPLAYS, Replay
from metainf.workloads import ASKED_LIKE_TRAFFIC, QUESTIONS, SHAPES, TIGHT_SHAPES, Shape

KV_CACHE_BYTES = 256 << 20
# What is left of a disturbance after running a short task this long, in one repeat after the other, is small.
LEAST_SECS = 1.0
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
    shapes: Sequence[str] = (),
    race: int = 0,
) -> Sweep:
    """Every CPU strategy on every model shape, or on those named, and on the demo model's own questions if its folder
    is given.

    `work_folder` receives the random models' configurations. Raises `ShapeUnknown`, `RaceTooNarrow`.
    """
    roomy = replace(hardware, kv_cache_bytes=KV_CACHE_BYTES)
    wanted = _named(shapes, (*TRAFFIC_MODELS, *RANDOM_MODELS))
    settings = [
        Setting(model.name, model.write(work_folder), roomy, _replay_tasks(model.vocab, model.max_model_len))
        for model in TRAFFIC_MODELS
        if model in wanted
    ]
    if demo_model is not None:
        settings.append(Setting(demo_model.name, demo_model, roomy, _demo_tasks(demo_model)))
    settings += [
        Setting(model.name, model.write(work_folder), roomy, _shape_tasks(SHAPES, model.vocab))
        for model in RANDOM_MODELS
        if model in wanted
    ]
    greatest = RANDOM_MODELS[-1]
    for kv_cache_bytes, asked in (
        (TIGHT_KV_CACHE_BYTES, TIGHT_SHAPES),
        (TOO_SMALL_KV_CACHE_BYTES, SHAPES[:1]),
    ):
        if greatest in wanted:
            tight = replace(hardware, kv_cache_bytes=kv_cache_bytes)
            folder = work_folder / greatest.name
            settings.append(Setting(greatest.name, folder, tight, _shape_tasks(asked, greatest.vocab)))
    strategies = _strategies("cpu", vllm_version)
    return Sweep(tuple(settings), strategies, repeats, resident, LEAST_SECS, final=True, race=race)


def gpu_sweep(
    shapes: Sequence[ModelShape],
    work_folder: Path,
    gpu: Gpu,
    vllm_version: str,
    repeats: int = 1,
    resident: int = 1,
) -> Sweep:
    """Every strategy one GPU can run on the traffic of `traces` at its real lengths, for models without weights."""
    settings = tuple(
        Setting(
            shape.name,
            shape.write(work_folder),
            gpu.hardware,
            _replay_tasks(shape.vocab, shape.max_model_len, LARGE_REPLAYS),
        )
        for shape in shapes
    )
    strategies = _strategies("cuda", vllm_version, gpu.compute_capability)
    return Sweep(settings, strategies, repeats, resident, run_timeout_secs=300.0)


def gpu_shapes(names: Sequence[str]) -> tuple[ModelShape, ...]:
    """Those of `GPU_MODELS` named, or all. Raises `ShapeUnknown`."""
    return _named(names, GPU_MODELS)


def _named(names: Sequence[str], shapes: Sequence[ModelShape]) -> tuple[ModelShape, ...]:
    known = {shape.name: shape for shape in shapes}
    for name in names:
        if name not in known:
            raise ShapeUnknown(name, tuple(known))
    return tuple(known[name] for name in names or known)


def _strategies(
    device: str, vllm_version: str, compute_capability: tuple[int, int] | None = None
) -> tuple[Strategy, ...]:
    """What can be run here. What a model or a small cache forbids is measured all the same: a refusal is a row."""
    extras = installed_extras()
    where = Surroundings(device, vllm_version, extras, compute_capability=compute_capability)
    return tuple(offered(catalogue(device, vllm_version, extras), where))


def measured_before(detected: HardwareFacts, rows: Sequence[Measurement]) -> HardwareFacts:
    """The facts most rows of a table have of this machine, else those just measured: rates vary between
    measurements, and new rows should agree with the old ones on them.
    """
    same = [
        row.hardware
        for row in rows
        if (row.hardware.device, row.hardware.name, row.hardware.cores, row.hardware.memory_bytes)
        == (detected.device, detected.name, detected.cores, detected.memory_bytes)
    ]
    if not same:
        return detected
    commonest, _ = Counter(same).most_common(1)[0]
    return replace(commonest, kv_cache_bytes=detected.kv_cache_bytes)


def _shape_tasks(shapes: Sequence[Shape], vocab: int) -> tuple[Task, ...]:
    return tuple(Task(shape.name, partial(shape.draw, vocab=vocab)) for shape in shapes)


def _replay_tasks(vocab: int, window: int, replays: Sequence[Replay] = SMALL_REPLAYS) -> tuple[Task, ...]:
    return tuple(
        Task(replay.name, partial(replay.draw, vocab=vocab, window=window), replay.family)
        for replay in replays
    )


def _demo_tasks(model_dir: Path) -> tuple[Task, ...]:
    """Its own questions, and shapes and traffic whose cost lies in reading prompts."""
    encode, facts = chat_encoder(model_dir), ModelFacts.from_dir(model_dir)
    asked = tuple(
        Task(questions.name, partial(questions.draw, encode=encode), questions.family)
        for questions in (*ASKED_LIKE_TRAFFIC, *QUESTIONS)
    )
    reading = [shape for shape in SHAPES if shape.output_tokens <= 4]
    replays = [replay for replay in SMALL_REPLAYS if replay.family != "chat"]
    return (
        *asked,
        *_replay_tasks(facts.vocab, facts.max_model_len, replays),
        *_shape_tasks(reading, facts.vocab),
    )
