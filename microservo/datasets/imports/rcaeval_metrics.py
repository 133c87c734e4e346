"""The metrics of a case of RCAEval, which come in three shapes: wide CSV, Parquet, and pairs in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from microservo.datasets.imports.csv_rows import EARLIEST_US, LATEST_US, Clock, CsvRows
from microservo.datasets.imports.importer import Notes
from microservo.datasets.imports.json_file import read_json
from microservo.datasets.imports.parquet_rows import batches_of, cells, parquet_file
from microservo.errors import InvalidInput

_WIDE = ("simple_metrics.csv", "metrics.csv", "data.csv", "simple_data.csv")
_S = 1_000_000
_MOST_ROWS = 2_000_000
"""Of Parquet, where a few bytes may stand for any number of rows: three weeks at one a second."""

Point = tuple[str, int, float]
"""Column, microseconds UTC, value."""


def points_of(case: Path, name: str, notes: Notes) -> Iterator[Point]:
    """All points of a case.

    Args:
        case: its folder.
        name: what errors call it.
        notes: gets what is odd.

    Raises:
        InvalidInput: there are none, or a file can't be read.
    """
    if (case / "metrics.parquet").is_file():
        return _parquet_points(case / "metrics.parquet", f"{name}/metrics.parquet", notes)
    if (case / "metrics.json").is_file():
        return _json_points(case / "metrics.json", f"{name}/metrics.json", notes)
    found = next((each for each in _WIDE if (case / each).is_file()), None)
    if found is None:
        msg = f"{case} has no metrics: expected metrics.parquet, metrics.json or {', '.join(_WIDE)}"
        raise InvalidInput(msg)
    return _csv_points(case / found, f"{name}/{found}", notes)


def _csv_points(path: Path, name: str, notes: Notes) -> Iterator[Point]:
    rows, clock = CsvRows(path, name, ("time",), notes), Clock(name, notes)
    for row in rows:
        time_us = rows.instant_us("time", row["time"], "s")
        clock.tick(time_us)
        for column, text in row.items():
            # Some sets have the time twice: pandas calls the second one time.1.
            if column != "time" and not column.startswith("time."):
                yield column, time_us, rows.number(column, text)
    clock.note_gaps()


def _parquet_points(path: Path, name: str, notes: Notes) -> Iterator[Point]:
    with parquet_file(path, name) as file:
        names = file.schema_arrow.names
        if "time" not in names:
            _refuse(name, 1, f"there is no column time; it has {', '.join(names)[:200]}")
        if file.metadata.num_rows > _MOST_ROWS:
            _refuse(name, 1, f"it has {file.metadata.num_rows} rows; expected one a second")
        yield from _table_points(batches_of(file, name), name, notes)


def _table_points(batches: Iterator[pa.RecordBatch], name: str, notes: Notes) -> Iterator[Point]:
    first, clock = 1, Clock(name, notes)
    for batch in batches:
        written = batch.column(batch.schema.names.index("time")).to_pylist()
        times = [_time_us(value, name, row, notes) for row, value in enumerate(written, start=first)]
        for time_us in times:
            clock.tick(time_us)
        for number, column in enumerate(batch.schema.names):
            if column == "time":
                continue
            for place, value in enumerate(cells(batch.column(number))):
                if value is not None:
                    yield column, times[place], _value(value, column, name, first + place)
        first += len(times)
    clock.note_gaps()


def _json_points(path: Path, name: str, notes: Notes) -> Iterator[Point]:
    document = read_json(path, name)
    if not isinstance(document, dict):
        _refuse(name, 1, "it is no {column: [[time, value], ...]}")
    for column, pairs in document.items():
        # RCAEval itself passes over a series without points, written as [] or null.
        for number, pair in enumerate(
            pairs if isinstance(pairs, list) else [pairs] if pairs else (), start=1
        ):
            if not isinstance(pair, list) or len(pair) != 2:
                _refuse(
                    name, number, f"{str(pair)[:40]} of column {column[:80]} is no pair of time and value"
                )
            yield column, _time_us(pair[0], name, number, notes), _value(pair[1], column, name, number)


def _time_us(value: Any, name: str, row: int, notes: Notes) -> int:
    try:
        found = round(float(value) * _S)
    except (ValueError, TypeError, OverflowError):
        found = 0
    if not EARLIEST_US <= found < LATEST_US:
        _refuse(name, row, f"time is {str(value)[:40]!r}, which in s is no instant between 2001 and 2100")
    notes.extent.add(found, name, row)
    return found


def _value(value: Any, column: str, name: str, row: int) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (ValueError, TypeError, OverflowError):
        _refuse(name, row, f"{column[:80]} is {str(value)[:40]!r}, which is no number")


def _refuse(name: str, row: int, what: str) -> NoReturn:
    msg = f"{name}, row {row}: {what}"
    raise InvalidInput(msg)
