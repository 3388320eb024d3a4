"""The table of measurements keeps every row as it was, and reads what older versions wrote."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from metainf.errors import TableUnreadable
from metainf.model import SHIPPED
from metainf.table import SCHEMA_VERSION, read_table, write_table

ADDED_IN_2 = ["family", "block", "calibration_before_secs", "calibration_after_secs"]


@pytest.fixture(scope="module")
def rows():
    return read_table(Path(SHIPPED).parent / "cpu.parquet")[:5]


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
