"""The table of measurements: one row per run, with everything that was known before it and where it
comes from.
"""

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, get_origin, get_type_hints

from metainf.errors import TableUnreadable
from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.files import in_place_of
from metainf.soundness import flaw

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = "quern-measurements-2"
# Of the first version, whose rows say nothing of what came later: the fields with defaults.
READABLE_VERSIONS = ("quern-measurements-1", SCHEMA_VERSION)

OK = "ok"
START_FAILED = "start-failed"
CRASHED = "crashed"
HUNG = "hung"
_OUTCOMES = (OK, START_FAILED, CRASHED, HUNG)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one workload under one strategy.

    `task_id` names the task (model, KV cache, workload); `repeat` draws new tokens of the same shape, the
    same for every strategy. `cpu_secs` is the processor time of the engine's process from submitting the
    batch to its last token, `wall_secs` the clock over the same stretch; `prefill_*` is the mean time to
    first token, `decode_*` the rest. `start_*` cover the engine's start and its first, unmeasured batch.
    `load_average` is the machine's when the run began: with other work on it, `wall_secs` counts that
    too. The times are zero where `outcome` is not `ok`; `problem` then says why.

    `family` is the kind of work the task stands for, empty where it stands for none. `block` names the
    stretch in which the strategies took turns on one batch, and only within it are they compared;
    `calibration_*_secs` are the processor seconds of one fixed piece of arithmetic just before and just
    after it, zero where unknown.
    """

    task_id: str
    model_name: str
    workload_name: str
    repeat: int
    strategy: str
    strategy_digest: str
    strategy_json: str
    model: ModelFacts
    hardware: HardwareFacts
    workload: Workload
    outcome: str
    problem: str
    cpu_secs: float
    prefill_cpu_secs: float
    decode_cpu_secs: float
    wall_secs: float
    prefill_wall_secs: float
    decode_wall_secs: float
    start_cpu_secs: float
    start_wall_secs: float
    prompt_tokens: int
    generated_tokens: int
    prefix_hit_tokens: int
    preemptions: int
    draft_tokens: int
    accepted_tokens: int
    outputs_sha256: str
    load_average: float
    measured_at: str
    engine: str
    engine_version: str
    engine_dtype: str
    python_version: str
    platform: str
    family: str = ""
    block: str = ""
    calibration_before_secs: float = 0.0
    calibration_after_secs: float = 0.0


_FACTS = {"model": ModelFacts, "hardware": HardwareFacts, "workload": Workload}


def write_table(rows: Sequence[Measurement], path: Path) -> None:
    """Write all rows as Parquet, replacing the file in one step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[object]] = {name: [] for name in _column_types()}
    for row in rows:
        for name, value in _flat(row).items():
            columns[name].append(list(value) if isinstance(value, tuple) else value)
    schema = pa.schema(
        [(name, _arrow_type(kind)) for name, kind in _column_types().items()],
        metadata={"schema": SCHEMA_VERSION},
    )
    with in_place_of(path) as unfinished:
        pq.write_table(pa.table(columns, schema=schema), unfinished, compression="zstd")


def is_measurements(path: Path) -> bool:
    """Whether a file declares itself a table of measurements, of whatever version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        declared = (pq.read_schema(path).metadata or {}).get(b"schema", b"")
    except (OSError, pa.ArrowException):
        return False
    return bytes(declared).startswith(b"quern-measurements-")


def read_parquet(path: Path) -> "pa.Table":
    """Any Parquet file. Raises `TableUnreadable`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise TableUnreadable(str(path), f"no readable Parquet file ({error})") from error


def read_table(path: Path) -> tuple[Measurement, ...]:
    """Every row in file order. Raises `TableUnreadable`."""
    table = read_parquet(path)
    found = (table.schema.metadata or {}).get(b"schema", b"none").decode()
    if found not in READABLE_VERSIONS:
        raise TableUnreadable(str(path), f"schema {found!r} instead of {SCHEMA_VERSION!r}")
    missing = sorted(_columns_needed(found) - set(table.column_names))
    if missing:
        raise TableUnreadable(str(path), f"columns missing: {', '.join(missing)}")
    return tuple(map(_from_flat, _sound_rows(path, table)))


def _sound_rows(path: Path, table: "pa.Table") -> Sequence[dict[str, object]]:
    """Of the schema's types, nothing left out. Raises `TableUnreadable`."""
    import pyarrow as pa

    types = {name: kind for name, kind in _column_types().items() if name in table.column_names}
    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in types.items()])
    try:
        rows: list[dict[str, object]] = table.select(list(types)).cast(schema).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise TableUnreadable(str(path), f"a column of another type ({error})") from error
    for number, row in enumerate(rows, start=1):
        empty = [name for name, value in row.items() if value is None]
        problem = f"{empty[0]} is empty" if empty else flaw(row, succeeded=row["outcome"] == OK)
        if problem is None and row["outcome"] not in _OUTCOMES:
            problem = f"outcome {row['outcome']!r} is none of {', '.join(_OUTCOMES)}"
        if problem is not None:
            raise TableUnreadable(str(path), f"row {number}: {problem}")
    return rows


def _columns_needed(version: str) -> AbstractSet[str]:
    columns = set(_column_types())
    if version == SCHEMA_VERSION:
        return columns
    return columns - {field.name for field in fields(Measurement) if field.default is not MISSING}


def file_sha256(path: Path) -> str:
    """`0x` and the SHA-256 of a file, to say which table a meta-model was trained on."""
    return "0x" + hashlib.sha256(path.read_bytes()).hexdigest()


def _column_types() -> dict[str, object]:
    types: dict[str, object] = {}
    for name, kind in get_type_hints(Measurement).items():
        if name in _FACTS:
            types |= {f"{name}_{inner}": k for inner, k in get_type_hints(_FACTS[name]).items()}
        else:
            types[name] = kind
    return types


def _arrow_type(kind: object) -> "pa.DataType":
    import pyarrow as pa

    if get_origin(kind) is tuple:
        return pa.list_(pa.int64())
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[kind]  # type: ignore[index]


def _flat(row: Measurement) -> dict[str, object]:
    flat: dict[str, object] = {}
    for field in fields(Measurement):
        value = getattr(row, field.name)
        if field.name in _FACTS:
            flat |= {f"{field.name}_{inner.name}": getattr(value, inner.name) for inner in fields(value)}
        else:
            flat[field.name] = value
    return flat


def _from_flat(flat: dict[str, object]) -> Measurement:
    values: dict[str, object] = {}
    for field in fields(Measurement):
        kind = _FACTS.get(field.name)
        if kind is None:
            values[field.name] = flat.get(field.name, field.default)
        else:
            inner = {f.name: flat[f"{field.name}_{f.name}"] for f in fields(kind)}
            values[field.name] = kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in inner.items()})
    return Measurement(**values)  # type: ignore[arg-type]
