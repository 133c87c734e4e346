"""Arrow arrays of Python's and NumPy's values and back, by their buffers.

`pyarrow.array` and `to_numpy` load pandas where it is installed, to ask of what they are given whether it is
one of its. This takes half a second of each process, and there is nothing of pandas here.
"""

from __future__ import annotations

import itertools
from binascii import hexlify
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Column = NDArray[Any]


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array of texts, numbers, instants in microseconds, or lists of them; of None where it is unknown."""
    unknown = None
    if None in values:
        unknown = np.fromiter((value is None for value in values), np.bool_, len(values))
    if pa.types.is_list(kind):
        lists = [value or () for value in values]
        lengths = list(map(len, lists))
        items = _items_of(lists, sum(lengths), kind)
        return _array(kind, len(values), unknown, _offsets(lengths), children=[items])
    if pa.types.is_string(kind):
        lengths, text = _joined(values if unknown is None else [value or "" for value in values])
        return _array(kind, len(values), unknown, _offsets(lengths), pa.py_buffer(text))
    known = values if unknown is None else [0 if value is None else value for value in values]
    return column_array(np.array(known, _dtype(kind)), kind, unknown=unknown)


def column_array(
    column: Column, kind: pa.DataType | None = None, *, unknown: NDArray[np.bool_] | None = None
) -> pa.Array:
    """An array of a column of numbers, or of bytes of fixed width.

    Args:
        column: shape (rows,).
        kind: what the array is of; by default what the column is.
        unknown: which of them are null, shape (rows,); by default none.
    """
    if kind is None:
        is_bytes = column.dtype.kind == "V"
        kind = pa.binary(column.dtype.itemsize) if is_bytes else pa.from_numpy_dtype(column.dtype)
    if pa.types.is_boolean(kind):
        data = np.packbits(column.astype(np.bool_, copy=False), bitorder="little")
    elif pa.types.is_fixed_size_binary(kind):
        data = np.ascontiguousarray(column)
    else:
        data = np.ascontiguousarray(column, _dtype(kind))
    return _array(kind, len(column), unknown, pa.py_buffer(data))


def hex_texts(ids: Column) -> pa.Array:
    """Ids as hexadecimal text, as trace viewers show them; null where an id is all zeros: none.

    Args:
        ids: bytes of fixed width, shape (rows,).
    """
    digits = 2 * ids.dtype.itemsize
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * np.int32(digits)
    unknown = ids == np.zeros(1, ids.dtype)
    return _array(pa.string(), len(ids), unknown, pa.py_buffer(offsets), pa.py_buffer(hexlify(ids.data)))


def values_of(array: pa.Array | pa.ChunkedArray) -> Column:
    """The values of an array, or of a column of a table, without nulls; shape (rows,).

    Instants are microseconds, texts are objects. Where it can be done, they are shown as they lie in memory.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    count, first, kind = len(array), array.offset, array.type
    if pa.types.is_string(kind):
        return np.array(array.to_pylist(), np.object_)
    dtype = np.dtype(f"V{kind.byte_width}") if pa.types.is_fixed_size_binary(kind) else _dtype(kind)
    if not count:
        return np.empty(0, dtype)
    data = array.buffers()[1]
    if pa.types.is_boolean(kind):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=first + count, bitorder="little")
        return bits[first:].view(np.bool_)
    return np.frombuffer(data, dtype, count, first * dtype.itemsize)


def _array(
    kind: pa.DataType,
    count: int,
    unknown: NDArray[np.bool_] | None,
    *buffers: pa.Buffer,
    children: Sequence[pa.Array] = (),
) -> pa.Array:
    known = None
    if unknown is not None and unknown.any():
        known = pa.py_buffer(np.packbits(~unknown, bitorder="little"))
    return pa.Array.from_buffers(kind, count, [known, *buffers], children=list(children))


def _items_of(lists: Sequence[Sequence[Any]], count: int, kind: pa.DataType) -> pa.Array:
    """What is in all lists, one behind the other; `count` items in all."""
    items = itertools.chain.from_iterable(lists)
    if kind.value_field.nullable:
        return array_of(list(items), kind.value_type)
    if pa.types.is_string(kind.value_type):
        return _texts_of_lists(lists, kind.value_type)
    return column_array(np.fromiter(items, _dtype(kind.value_type), count), kind.value_type)


def _texts_of_lists(lists: Sequence[Sequence[str]], kind: pa.DataType) -> pa.Array:
    """The texts of all lists one behind the other; of lists that are alike, one is encoded for all.

    The windows of a service have the same names of features again and again.
    """
    known: dict[tuple[str, ...], tuple[Column, bytes]] = {}
    parts = []
    for texts in map(tuple, lists):
        part = known.get(texts)
        if part is None:
            lengths, encoded = _joined(texts)
            part = known[texts] = np.array(lengths, np.int32), encoded
        parts.append(part)
    together = np.concatenate([lengths for lengths, _ in parts]) if parts else ()
    text = b"".join([encoded for _, encoded in parts])
    return _array(kind, len(together), None, _offsets(together), pa.py_buffer(text))


def _joined(texts: Sequence[str]) -> tuple[list[int], bytes]:
    """How many bytes each text has, and they all."""
    together = "".join(texts)
    if together.isascii():
        return list(map(len, texts)), together.encode()
    encoded = [text.encode() for text in texts]
    return list(map(len, encoded)), b"".join(encoded)


def _offsets(lengths: Sequence[int] | Column) -> pa.Buffer:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.py_buffer(offsets)


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    return np.dtype(np.int64 if pa.types.is_timestamp(kind) else str(kind))
