"""Parquet of others, row by row, like their CSV: what a few bytes may stand for is bounded first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.imports.csv_rows import CsvRows
from microservo.errors import InvalidInput

BATCH_ROWS = 1000
_MOST_ROWS = 50_000_000
_LARGEST_BATCH_BYTES = 64 << 20
_RATIO = 200
_FREE_OF_RATIO_BYTES = 16 << 20
"""Small files may be packed as well as they like."""


@contextmanager
def parquet_file(path: Path, name: str) -> Iterator[pq.ParquetFile]:
    """A file that may be read.

    Args:
        path: the file.
        name: what errors call it.

    Raises:
        InvalidInput: it is none, was cut, or unpacks to far more than it is.
    """
    try:
        with pq.ParquetFile(path) as file:
            _refuse_bomb(file.metadata, path.stat().st_size, name)
            yield file
    except (pa.ArrowException, OSError) as error:
        msg = f"{name}, row 1: it can't be read: {(str(error).splitlines() or [''])[0][:200]}"
        raise InvalidInput(msg) from error


def batches_of(file: pq.ParquetFile, name: str) -> Iterator[pa.RecordBatch]:
    """Its rows, some at a time; texts that stand there once for many rows are as long as they are often."""
    row = 1
    for batch in file.iter_batches(BATCH_ROWS):
        if batch.nbytes > _LARGEST_BATCH_BYTES:
            msg = f"{name}, row {row}: {batch.num_rows} rows take {batch.nbytes} bytes"
            raise InvalidInput(msg)
        row += batch.num_rows
        yield batch


def cells(column: pa.Array) -> list[Any]:
    """The values of a column; of one that is coded each text is there once."""
    if not isinstance(column, pa.DictionaryArray):
        return cast("list[Any]", column.to_pylist())
    values = column.dictionary.to_pylist()
    return [None if code is None else values[code] for code in column.indices.to_pylist()]


class ParquetRows(CsvRows):
    """The rows of a file as texts by column, as of CSV; rows are counted from 1."""

    def _read(self) -> Iterator[tuple[str, ...]]:
        with parquet_file(self._path, self._name) as file:
            yield tuple(file.schema_arrow.names)
            for batch in batches_of(file, self._name):
                for values in zip(*map(cells, batch.columns), strict=True):
                    self.row += 1
                    yield tuple(map(_text, values))


def _text(value: Any) -> str:
    # NaN is what pandas has for no text.
    return "" if value is None or value != value else str(value)  # noqa: PLR0124


def _refuse_bomb(metadata: pq.FileMetaData, size: int, name: str) -> None:
    unpacked = sum(
        metadata.row_group(group).column(column).total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    most = max(_FREE_OF_RATIO_BYTES, _RATIO * size)
    if metadata.num_rows > _MOST_ROWS or unpacked > most:
        msg = (
            f"{name}, row 1: it unpacks to {metadata.num_rows} rows and {unpacked} bytes; expected at most"
            f" {_MOST_ROWS} rows and {most} bytes"
        )
        raise InvalidInput(msg)
