"""Rows of telemetry from one or several readers, in canonical order, each different one once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.adapters.datasets.telemetry import LAYOUTS, as_array
from microservo.domain.datasets.ordering import Vocabulary, canonical_order, series
from microservo.domain.telemetry import Signal

_SOURCE_COLUMNS = {"time": "time_us", "start": "start_us"}


def in_order(signal: Signal, tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, which are as `RowBuffer.release` gives them, as they stand in the dataset."""
    layout = LAYOUTS[signal]
    merged = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    if not merged.num_rows:
        return layout.schema.empty_table()
    arrays = {name: merged.column(name).chunk(0) for name in merged.column_names}
    columns = {name: _numpy(array) for name, array in arrays.items() if name != "body"}
    texts = {name: arrays[name].dictionary for name in layout.text_columns}
    row_series = series([(columns[name], _vocabulary(text)) for name, text in texts.items()])
    order = canonical_order(
        columns["time_us"], row_series, lambda rows: _tie_keys(columns, arrays.get("body"), set(texts), rows)
    )
    picked = pa.array(order)

    def column(field: Any) -> Any:
        name = _SOURCE_COLUMNS.get(field.name, field.name)
        if name in texts:
            return texts[name].take(pa.array(columns[name][order]))
        return arrays[name].take(picked) if name == "body" else as_array(columns[name][order], field.type)

    return pa.Table.from_arrays([column(field) for field in layout.schema], schema=layout.schema)


def _numpy(array: Any) -> NDArray[Any]:
    if pa.types.is_dictionary(array.type):
        array = array.indices
    if pa.types.is_fixed_size_binary(array.type):
        ids = np.frombuffer(array.buffers()[1], f"V{array.type.byte_width}")
        return ids[array.offset : array.offset + len(array)]
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _vocabulary(texts: Any) -> Vocabulary:
    vocabulary = Vocabulary()
    vocabulary.codes(tuple(texts.to_pylist()))
    return vocabulary


def _tie_keys(
    columns: dict[str, NDArray[Any]], body: Any, sorted_by: set[str], rows: Any
) -> list[NDArray[np.int64]]:
    """Integer keys of all columns but those sorted by already; lateness last."""
    keys = [] if body is None else _integers(body.take(pa.array(rows)).to_numpy(zero_copy_only=False))
    for name in sorted(columns.keys() - sorted_by - {"time_us", "late"}):
        keys += _integers(columns[name][rows])
    return [*keys, columns["late"][rows].astype(np.int64)]


def _integers(column: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Keys that are equal exactly where values are the same to the bit, in a fixed order."""
    if column.dtype.kind == "O":
        return [np.unique(column, return_inverse=True)[1].astype(np.int64)]
    if column.dtype.kind in "fV":
        words = np.ascontiguousarray(column).view("<i8").reshape(len(column), -1)
        return list(words.T)
    return [column.astype(np.int64)]
