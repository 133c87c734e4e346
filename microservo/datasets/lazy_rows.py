"""Rows of Parquet files that are read when they are asked for, in batches, as Arrow, pandas or polars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.dataset as ds

from microservo.errors import InvalidInput, Unavailable

Keep = Callable[[pa.RecordBatch], Any]
"""Which rows of a batch are kept: a mask, shape (rows,)."""

_BATCH_ROWS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file, and what stands before its columns.

    Attributes:
        run_id: stands in a column `run_id` in front; None where the file has one, or needs none.
        keep: which rows are kept, of a batch with the columns that it `needs`; None for all.
    """

    path: Path
    run_id: str | None = None
    keep: Keep | None = None
    needs: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows that nobody has read yet. Each call reads them anew, and only the columns that are asked for.

    DuckDB, polars and pandas take it as it is, by Arrow's C stream: `polars.DataFrame(rows)`.
    """

    parts: Sequence[Part]
    filter: ds.Expression | None = None
    columns: Sequence[str] | None = None

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns.

        Raises:
            InvalidInput: a file is missing or no Parquet, or there is no such column.
        """
        whole = self._whole_schema()
        if self.columns is None:
            return whole
        unknown = [name for name in self.columns if name not in whole.names]
        if unknown:
            known = ", ".join(whole.names[:12])
            msg = f"{self.parts[0].path.name} has no column {unknown[0]!r}; it has {known}, ..."
            raise InvalidInput(msg)
        return pa.schema([whole.field(name) for name in self.columns])

    def select(self, *columns: str) -> Self:
        """The same with these columns alone, in this order."""
        return replace(self, columns=columns)

    def where(self, expression: ds.Expression) -> Self:
        """Those that an expression holds of, as `pyarrow.dataset.field("severity") > 8`."""
        return replace(self, filter=expression if self.filter is None else self.filter & expression)

    def reader(self) -> pa.RecordBatchReader:
        """The rows batch by batch; memory is that of a few batches, however many rows there are."""
        schema = self.schema
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def head(self, count: int) -> pa.Table:
        """The first rows, and no more of the files than that takes."""
        schema = self.schema
        found, left = [schema.empty_table()], count
        # Not in batches of so few rows: all of a row group are made at once, and thousands take seconds.
        for batch in self._batches(schema):
            found.append(pa.Table.from_batches([batch.slice(0, left)]))
            left -= min(left, batch.num_rows)
            if not left:
                break
        return pa.concat_tables(found).unify_dictionaries()

    def to_arrow(self) -> pa.Table:
        """All of them in memory."""
        return self.reader().read_all().unify_dictionaries()

    def to_pandas(self) -> Any:
        """All of them as a `pandas.DataFrame`.

        Raises:
            Unavailable: pandas is not installed.
        """
        _needs("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """All of them as a `polars.DataFrame`.

        Raises:
            Unavailable: polars is not installed.
        """
        return _needs("polars").from_arrow(self.to_arrow())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        """How many there are; reads no column that no condition is about."""
        schema = self._whole_schema()
        counted = schema.names[:1] if any(part.keep for part in self.parts) else []
        if counted:
            return sum(batch.num_rows for batch in replace(self, columns=counted).reader())
        return sum(self._open(part).count_rows(filter=self.filter) for part in self.parts)

    def _whole_schema(self) -> pa.Schema:
        part = self.parts[0]
        schema = self._open(part).schema.remove_metadata()
        if part.run_id is None:
            return schema
        return pa.schema([pa.field("run_id", pa.string(), nullable=False), *schema])

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for part in self.parts:
            own = [name for name in schema.names if part.run_id is None or name != "run_id"]
            needed = list(dict.fromkeys([*own, *part.needs]))
            scanner = self._open(part).scanner(
                columns=needed, filter=self.filter, use_threads=False, batch_size=_BATCH_ROWS
            )
            batches = scanner.to_batches()
            while (batch := _next(batches, part.path)) is not None:
                kept = batch if part.keep is None else batch.filter(pa.array(part.keep(batch)))
                if kept.num_rows:
                    yield _arranged(kept, part.run_id, schema)

    def _open(self, part: Part) -> ds.Dataset:
        try:
            return ds.dataset(part.path, format="parquet")
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(part.path, error) from error


def _next(batches: Iterator[pa.RecordBatch], path: Path) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _arranged(batch: pa.RecordBatch, run_id: str | None, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        pa.repeat(pa.scalar(run_id), batch.num_rows)
        if run_id is not None and field.name == "run_id"
        else batch.column(field.name)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    reason = str(error).split("\n", 1)[0]
    return InvalidInput(f"{path} can't be read: {reason}; rebuild the dataset from the log")


def _needs(package: str) -> Any:
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(package)
    except ImportError as error:
        msg = f"{package} is not installed; `pip install 'microservo[{package}]'`, or use to_arrow()"
        raise Unavailable(msg) from error
