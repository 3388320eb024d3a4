"""The table of measurements keeps every row as it was, and reads what older versions wrote."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metainf.errors import TableUnreadable
from metainf.files import in_place_of
from metainf.model import SHIPPED_TABLE
from metainf.table import OK, SCHEMA_VERSION, read_table, write_table

ADDED_IN_2 = ["family", "block", "calibration_before_secs", "calibration_after_secs"]


@pytest.fixture(scope="module")
def rows():
    """Five that ran."""
    every = read_table(SHIPPED_TABLE)
    return tuple(row for row in every if row.outcome == OK)[:5]


@pytest.fixture
def written(rows, tmp_path):
    path = tmp_path / "t.parquet"
    write_table(rows, path)
    return path


def rewrite(path, drop, version):
    table = pq.read_table(path).drop_columns(drop)
    pq.write_table(table.replace_schema_metadata({"schema": version}), path)


def test_rows_come_back_as_they_were_written(rows, tmp_path):
    marked = [
        replace(row, family="chat", block=f"b{i}", calibration_after_secs=0.25) for i, row in enumerate(rows)
    ]
    write_table(marked, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet") == tuple(marked)


def test_a_table_of_the_first_version_lacks_what_came_later(rows, written):
    rewrite(written, ADDED_IN_2, "quern-measurements-1")
    old = read_table(written)
    assert [
        replace(row, family="", block="", calibration_before_secs=0, calibration_after_secs=0) for row in rows
    ] == [*old]
    assert {(row.family, row.block, row.calibration_before_secs) for row in old} == {("", "", 0.0)}


def test_a_table_of_this_version_may_lack_nothing(written):
    rewrite(written, ["block"], SCHEMA_VERSION)
    with pytest.raises(TableUnreadable, match="columns missing: block"):
        read_table(written)


def test_a_version_nobody_knows_is_refused(written):
    rewrite(written, [], "quern-measurements-9")
    with pytest.raises(TableUnreadable, match="'quern-measurements-9'"):
        read_table(written)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("cpu_secs", float("nan"), "row 2: cpu_secs is nan"),
        ("cpu_secs", 0.0, "row 2: cpu_secs is 0"),
        ("wall_secs", -1.0, "row 2: wall_secs is -1.0"),
        ("wall_secs", float("inf"), "row 2: wall_secs is inf"),
        ("cpu_secs", None, "row 2: cpu_secs is empty"),
        ("task_id", None, "row 2: task_id is empty"),
        ("hardware_peak_flops", 0, "row 2: hardware_peak_flops is 0"),
        ("workload_prompts", -4, "row 2: workload_prompts is -4"),
        ("workload_prompt_quantiles", [1], r"row 2: workload_prompt_quantiles is \[1\], not 4 counts"),
        ("workload_shared_tokens", [1, None, 1, 1, 1], "row 2: workload_shared_tokens is"),
        ("strategy_json", "{", "row 2: strategy_json is not JSON"),
        ("strategy_json", "[]", "row 2: strategy_json is no object"),
        ("strategy_json", '{"engine_args": {}}', "row 2: strategy_json has no environment, devices"),
        ("outcome", "fine", "row 2: outcome 'fine' is none of ok,"),
        ("measured_at", "yesterday", "row 2: measured_at is 'yesterday'"),
        ("cpu_secs", "quick", "a column of another type"),
    ],
)
def test_what_no_measurement_has_is_named_by_row_and_column(written, column, value, said):
    """A table that came from elsewhere would otherwise end training with a traceback, or poison it."""
    table = pq.read_table(written)
    values = table.column(column).to_pylist()
    values[1] = value
    kept = pa.array(list(map(str, values)) if value == "quick" else values)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, kept), written)
    with pytest.raises(TableUnreadable, match=said):
        read_table(written)


@pytest.mark.parametrize("ended_by", [OSError, KeyboardInterrupt])
def test_a_write_that_does_not_end_leaves_what_was_there(tmp_path, ended_by):
    path = tmp_path / "costs.csv"
    path.write_text("before")

    def write():
        with in_place_of(path) as unfinished:
            unfinished.write_text("half")
            raise ended_by

    with pytest.raises(ended_by):
        write()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("costs.csv", "before")]
