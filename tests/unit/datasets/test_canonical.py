"""Canonical bytes depend on values alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from microservo.datasets.canonical import canonical, parts
from microservo.datasets.files import TableFile, table_content, write_table
from microservo.datasets.tables import TIME
from microservo.domain.datasets.content import ROWS_PER_BLOCK

COLUMNS: dict[str, pa.Array] = {
    "number": pa.array([1, 2, 3, 4], pa.int32()),
    "truth": pa.array([True, False, True, True]),
    "time": pa.array([1, None, 3, 4], TIME),
    "text": pa.array(["a", "", None, "é"]),
    "code": pa.array([1, None, 0, 4], pa.uint8()),
    "flag": pa.array([True, None, False, True]),
    "numbers": pa.array([[1.5], [], None, [2.5, 3.5]], pa.list_(pa.float64())),
    "texts": pa.array([["a"], None, ["b", "c"], []], pa.list_(pa.string())),
    "dictionary": pa.array(["b", None, "a", "b"]).dictionary_encode(),
}


def bytes_of(table: pa.Table) -> list[tuple[str, str, bytes]]:
    return [(path, kind, bytes(data)) for path, kind, data in parts(canonical(table))]


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_slice_has_the_bytes_of_a_copy(name: str) -> None:
    column = COLUMNS[name]
    copied = pa.array(column.to_pylist()[1:], column.type)
    assert bytes_of(pa.table({name: column.slice(1)})) == bytes_of(pa.table({name: copied}))


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_chunks_do_not_matter(name: str) -> None:
    column = COLUMNS[name]
    chunked = pa.chunked_array([column.slice(0, 1), column.slice(1)])
    assert bytes_of(pa.table({name: chunked})) == bytes_of(pa.table({name: column}))


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_different_values_have_different_bytes(name: str) -> None:
    column = COLUMNS[name]
    other = pa.array(column.to_pylist()[::-1], column.type)
    assert bytes_of(pa.table({name: column})) != bytes_of(pa.table({name: other}))


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_no_rows_have_bytes_too(name: str) -> None:
    assert all(data == b"" for _, _, data in bytes_of(pa.table({name: COLUMNS[name].slice(0, 0)})))


def test_a_null_is_no_empty_text() -> None:
    assert bytes_of(pa.table({"a": pa.array([""])})) != bytes_of(
        pa.table({"a": pa.array([None], pa.string())})
    )


def test_row_groups_do_not_follow_how_rows_were_appended(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array(range(2 * ROWS_PER_BLOCK + 7), pa.int64())})
    whole = write_table(tmp_path / "whole.parquet", table.schema, [table])
    with TableFile(tmp_path / "parts.parquet", table.schema) as file:
        for first in range(0, table.num_rows, 50_000):
            file.append(table.slice(first, 50_000))
        pieces = file.close()
    assert (whole.sha256, whole.content_sha256, whole.rows) == (
        pieces.sha256,
        pieces.content_sha256,
        pieces.rows,
    )
    groups = pq.ParquetFile(tmp_path / "parts.parquet")
    with groups:
        assert [groups.metadata.row_group(index).num_rows for index in range(3)] == [65_536, 65_536, 7]
    assert table_content(tmp_path / "whole.parquet").hexdigest() == whole.content_sha256
