"""Parquet files whose bytes and content hash depend on their rows alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.canonical import canonical, parts
from microservo.datasets.tables import TABLES, TEXT, TEXTS
from microservo.domain.datasets.content import ContentHash, rows_per_block
from microservo.domain.datasets.manifest import FileEntry

_ZSTD_LEVEL = 1
_IDS = ("sha256", "trace_id", "span_id", "parent_id")
_DISTINCT_TEXTS = ("body", *_IDS)
"""Columns of text that hardly repeats, or that compression alone makes as small: a dictionary costs time."""


class TableFile:
    """A table that grows by rows in their final order; cut into row groups of `rows_per_block`.

    Row groups don't follow how the rows were appended, and nothing of the machine or the time goes in.

    Attributes:
        pending_rows: how many rows are held until they fill a row group.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._pending: list[pa.Table] = []
        self.pending_rows = 0
        self._block_rows = rows_per_block(path.name)
        self._hash = ContentHash()
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=_dictionary_columns(schema),
            # By time one finds the rows one looks for; in other columns it is hardly worth its cost.
            write_statistics=[field.name for field in schema if _is_time(field.type)],
            write_batch_size=self._block_rows,
            column_encoding=_encodings(schema),
        )

    def append(self, rows: pa.Table) -> None:
        """Adds rows behind those before."""
        self._pending.append(rows)
        self.pending_rows += rows.num_rows
        if self.pending_rows >= self._block_rows:
            self._write_whole_blocks()

    def close(self) -> FileEntry:
        """Writes what is left and returns the file's entry for the manifest."""
        if self.pending_rows:
            self._write_block(pa.concat_tables(self._pending))
        self._writer.close()
        size_bytes, sha256 = file_hash(self._path)
        return FileEntry(
            name=self._path.name,
            size_bytes=size_bytes,
            sha256=sha256,
            rows=self._hash.rows,
            content_sha256=self._hash.hexdigest(),
        )

    def _write_whole_blocks(self) -> None:
        rows = pa.concat_tables(self._pending)
        whole = rows.num_rows - rows.num_rows % self._block_rows
        for first in range(0, whole, self._block_rows):
            self._write_block(rows.slice(first, self._block_rows))
        self._pending = [rows.slice(whole)]
        self.pending_rows = rows.num_rows - whole

    def _write_block(self, block: pa.Table) -> None:
        block = canonical(block)
        self._hash.add_block(block.num_rows, parts(block))
        self._writer.write_table(block, row_group_size=self._block_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A file that can't be completed must not hide what went wrong before.
        with suppress(OSError) if exc_type else nullcontext():
            self._writer.close()


def write_table(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> FileEntry:
    """Writes all the rows of some tables, which are in order."""
    with TableFile(path, schema) as file:
        for rows in tables:
            file.append(rows)
        return file.close()


def read_columns(path: Path, *columns: str) -> pa.Table:
    """Some columns of a Parquet file, all where none is named; `pyarrow.parquet.read_table` loads pandas."""
    with pq.ParquetFile(path) as file:
        return file.read(list(columns) or None)


def table_content(path: Path, schema: pa.Schema | None = None) -> ContentHash:
    """The content hash of a Parquet file, from its rows.

    Args:
        path: of the file.
        schema: what it shall have; by default that of the table of its name.

    Raises:
        OSError: the file can't be read.
        pyarrow.ArrowInvalid: it is not Parquet, or damaged.
    """
    content = ContentHash()
    with pq.ParquetFile(path) as file:
        schema = schema or TABLES.get(path.name, file.schema_arrow)
        if file.schema_arrow.names != schema.names:
            msg = f"columns {file.schema_arrow.names}, expected {schema.names}"
            raise pa.ArrowInvalid(msg)
        for index in range(file.metadata.num_row_groups):
            block = canonical(file.read_row_group(index).cast(schema))
            content.add_block(block.num_rows, parts(block))
    return content


def file_hash(path: Path) -> tuple[int, str]:
    """Length in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind))


def _encodings(schema: pa.Schema) -> dict[str, str]:
    """What is smaller, and sooner written, than by the default: differences of whole numbers, lengths apart.

    Lengths between ids of equal length are taken for repetitions by the compression, one by one.
    """
    whole = [each.name for each in schema if each.type == pa.int64() or _is_time(each.type)]
    ids = [each.name for each in schema if each.name in _IDS]
    return dict.fromkeys(whole, "DELTA_BINARY_PACKED") | dict.fromkeys(ids, "DELTA_LENGTH_BYTE_ARRAY")


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    """Columns of text that repeats; ids, numbers and log bodies hardly do."""
    texts = [field.name for field in schema if field.type in (pa.string(), TEXT)]
    lists = [f"{field.name}.list.element" for field in schema if field.type == TEXTS]
    return [name for name in texts if name not in _DISTINCT_TEXTS] + lists
