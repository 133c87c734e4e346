"""CSV files whose bytes depend on their rows alone: quotes around text, nothing for null and NaN."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

_OPTIONS = pyarrow.csv.WriteOptions(include_header=False)
_ROWS = 65_536
"""Rows that are made into text at a time."""


class CsvFile:
    """A CSV file that grows by tables of the same columns, behind what is there already.

    Numbers have as many digits as they need.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        is_new = not path.exists()
        self._stream = path.open("ab")
        if is_new:
            self._stream.write((",".join(map(_title, schema.names)) + "\n").encode())

    def append(self, table: pa.Table) -> None:
        """Adds rows behind those before."""
        for first in range(0, table.num_rows, _ROWS):
            # `pyarrow` writes from a buffer that it uses again; given a file of Python's, bytes of the next
            # rows got into those before.
            text = pa.BufferOutputStream()
            pyarrow.csv.write_csv(_without_nan(table.slice(first, _ROWS)), text, _OPTIONS)
            self._stream.write(text.getvalue())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()


def _title(name: str) -> str:
    """The title of a column, in quotes where it needs them: readers that split lines find plain ones."""
    if any(each in name for each in ',"\r\n'):
        return '"' + name.replace('"', '""') + '"'
    return name


def _without_nan(table: pa.Table) -> pa.Table:
    """The same with nulls for NaN, which `pyarrow` would write as a word."""
    for place, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table.column(place)
            known = pc.if_else(pc.is_nan(column), None, column)
            table = table.set_column(place, field, known)
    return table
