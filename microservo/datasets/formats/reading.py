"""The tables in a folder, read in columns and row groups, with their instants as microseconds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.stretches import Stretches
from microservo.datasets.tables import TABLES
from microservo.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Tables:
    """Reads the tables in a folder, whether or not they have a manifest yet.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def table(self, name: str, *columns: str) -> pa.Table:
        """Some columns of a whole table, with its instants as microseconds."""
        return pa.concat_tables([_empty(name, columns), *self.blocks(name, *columns)]).unify_dictionaries()

    def blocks(self, name: str, *columns: str) -> Iterator[pa.Table]:
        """Some columns of a table, row group by row group, with its instants as microseconds."""
        with self._reading(name) as file:
            for number in range(file.metadata.num_row_groups):
                yield self._block(file, name, number, columns)

    def within(self, name: str, stretches: Stretches, *columns: str) -> pa.Table:
        """Some columns, `time` among them, of the rows of telemetry whose `time` lies in some stretches.

        Row groups that hold none of them are passed over.
        """
        found = [_empty(name, columns)]
        with self._reading(name) as file:
            place = file.schema_arrow.get_field_index("time")
            for number in range(file.metadata.num_row_groups):
                statistics = file.metadata.row_group(number).column(place).statistics
                if statistics is not None and statistics.has_min_max:
                    first_us, last_us = _us(statistics.min), _us(statistics.max)
                    if not stretches.overlap(first_us, last_us + 1):
                        continue
                block = self._block(file, name, number, columns)
                kept = stretches.contain(values_of(block.column("time")))
                found.append(block.filter(column_array(kept, pa.bool_())))
        return pa.concat_tables(found).unify_dictionaries()

    def _reading(self, name: str) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(self._folder / name)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(name, error) from error
        if file.schema_arrow.names != TABLES[name].names:
            file.close()
            expected = ", ".join(TABLES[name].names)
            raise self._unreadable(name, f"columns {file.schema_arrow.names}, expected {expected}")
        return file

    def _block(self, file: pq.ParquetFile, name: str, number: int, columns: tuple[str, ...]) -> pa.Table:
        try:
            block = file.read_row_group(number, list(columns))
            # In the order that was asked for, and texts the same whether or not they came as a dictionary.
            return block.select(list(columns)).cast(_in_us(name, columns))
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, reason: object) -> InvalidInput:
        line = str(reason).split("\n", 1)[0]
        return InvalidInput(f"{self._folder / name} can't be read: {line}; rebuild the dataset from the log")


def _in_us(name: str, columns: tuple[str, ...]) -> pa.Schema:
    fields = [TABLES[name].field(column) for column in columns]
    return pa.schema(
        [field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field for field in fields]
    )


def _empty(name: str, columns: tuple[str, ...]) -> pa.Table:
    # Not by `empty_table`, which loads pandas.
    return pa.Table.from_batches([], schema=_in_us(name, columns))


def _us(instant: Any) -> int:
    """Microseconds of a statistic of instants; exact, as `timestamp()` is not."""
    return int((instant - _EPOCH) // _MICROSECOND)
