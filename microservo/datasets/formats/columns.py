"""Columns of tables as numbers: texts by their codes, groups of rows, and values on a grid."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from microservo.datasets.arrays import array_of, column_array, values_of

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


class Coded(NamedTuple):
    """A column of texts: the texts in their order, and of each row the place of its own, -1 for null."""

    texts: list[str]
    codes: Int64


def coded(column: pa.ChunkedArray) -> Coded:
    """A column of texts as numbers; equal columns give equal numbers, however they are stored."""
    if not len(column):
        return Coded([], np.empty(0, np.int64))
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    array = column.unify_dictionaries().combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    indices = array.indices
    # Filled only where something is null: the value to fill with loads pandas.
    codes = values_of(pc.fill_null(indices, -1) if indices.null_count else indices).astype(np.int64)
    texts = array.dictionary.to_pylist()
    used = np.unique(codes[codes >= 0]).tolist()
    ordered = sorted({texts[code] for code in used})
    place = {text: number for number, text in enumerate(ordered)}
    ranks = np.full(len(texts) + 1, -1, np.int64)
    ranks[used] = [place[texts[code]] for code in used]
    return Coded(ordered, ranks[codes])


def texts_of(texts: list[str], codes: Int64) -> pa.Array:
    """A column of texts by their places; null where that is -1."""
    indices = column_array(np.maximum(codes, 0).astype(np.int32), pa.int32(), unknown=codes < 0)
    if not texts:
        return array_of([None] * len(codes), pa.string())
    dictionary = pa.DictionaryArray.from_arrays(indices, array_of(texts, pa.string()), safe=False)
    return dictionary.cast(pa.string())


def numbers_of(table: pa.Table, name: str, *, null: int = 0) -> NDArray[Any]:
    """A column of numbers or truth values, with something in place of nulls."""
    column = table.column(name)
    return values_of(pc.fill_null(column, null) if column.null_count else column)


def sums(row: Int64, column: Int64, shape: tuple[int, int], weights: Float64 | None = None) -> Float64:
    """How many records fall into each cell of a grid, or the sum of their weights; shape (rows, columns)."""
    flat = np.bincount(row * shape[1] + column, weights, minlength=shape[0] * shape[1])
    return flat.astype(np.float64).reshape(shape)


def means(row: Int64, column: Int64, shape: tuple[int, int], values: Float64) -> Float64:
    """The mean of the records in each cell of a grid; NaN where there is none."""
    counts = sums(row, column, shape)
    with np.errstate(invalid="ignore"):
        mean: Float64 = sums(row, column, shape, values) / counts
    return mean


def quantiles(row: Int64, column: Int64, shape: tuple[int, int], values: Float64, share: float) -> Float64:
    """The nearest-rank quantile of the records in each cell: a value that was measured; NaN where none."""
    found = np.full(shape[0] * shape[1], np.nan)
    if len(values):
        cell = row * shape[1] + column
        order = np.lexsort((values, cell))
        cells, firsts, counts = np.unique(cell[order], return_index=True, return_counts=True)
        ranks = np.ceil(share * counts).astype(np.int64) - 1
        found[cells] = values[order][firsts + ranks]
    return found.reshape(shape)


def wide_table(time: Int64, names: list[str], values: Float64) -> pa.Table:
    """A table with a column `time` and one for each name, from values of shape (times, names)."""
    columns = [column_array(np.ascontiguousarray(values[:, place])) for place in range(len(names))]
    return pa.Table.from_arrays([column_array(time), *columns], names=["time", *names])
