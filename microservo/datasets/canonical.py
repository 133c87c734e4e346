"""The canonical bytes of Arrow columns, for the content hash.

They depend on the values alone: not on offsets within buffers, on dictionaries or on what lies under a null.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import array_of, column_array, values_of
from microservo.domain.datasets.content import Part


def canonical(block: pa.Table) -> pa.Table:
    """The same rows in one chunk, each dictionary with the texts that occur and no others, in their order."""
    if not block.num_rows:
        return block.schema.empty_table()
    block = block.unify_dictionaries().combine_chunks()
    for place, name in enumerate(block.column_names):
        if pa.types.is_dictionary(block.schema.field(name).type):
            array = _in_order_of_text(block.column(name).chunk(0))
            block = block.set_column(place, block.schema.field(name), array)
    return block


def parts(table: pa.Table) -> Iterator[Part]:
    """The parts of a block that is `canonical`, column by column in the order of the schema."""
    for name in table.column_names:
        column = table.column(name)
        array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        yield from _parts(name, array)


def _parts(path: str, array: Any) -> Iterator[Part]:
    if array.null_count:
        yield Part(f"{path}.is_valid", "bool", _numbers(array.is_valid()))
        array = _with_zeros(array)
    if pa.types.is_list(array.type):
        yield Part(f"{path}.lengths", "int32", _numbers(_with_zeros(array.value_lengths())))
        yield from _parts(f"{path}.item", array.flatten())
    elif pa.types.is_dictionary(array.type):
        yield from _parts(f"{path}.texts", array.dictionary)
        yield from _parts(path, array.indices)
    elif pa.types.is_string(array.type):
        yield from _text_parts(path, array)
    else:
        yield Part(path, str(array.type), _numbers(array))


def _with_zeros(array: Any) -> Any:
    """The same with zeros, or empty texts, in place of nulls; of lists the nulls stay, which hold nothing."""
    if not array.null_count or pa.types.is_list(array.type):
        return array
    if pa.types.is_dictionary(array.type):
        indices = _with_zeros(array.indices)
        return pa.DictionaryArray.from_arrays(indices, array.dictionary, safe=False)
    zero = array_of([""] if pa.types.is_string(array.type) else [0], array.type)
    return pc.fill_null(array, zero[0])


def _in_order_of_text(array: Any) -> Any:
    valid = values_of(array.is_valid()) if array.null_count else None
    codes = values_of(_with_zeros(array.indices))
    texts = array.dictionary.to_pylist()
    occurring = codes if valid is None else codes[valid]
    used = np.flatnonzero(np.bincount(occurring, minlength=len(texts))).tolist()
    used.sort(key=texts.__getitem__)
    if used == list(range(len(texts))):
        return array
    ranks = np.zeros(max(1, len(texts)), np.int32)
    ranks[used] = np.arange(len(used), dtype=np.int32)
    ordered = array_of([texts[code] for code in used], pa.string())
    indices = column_array(ranks[codes], unknown=None if valid is None else ~valid)
    return pa.DictionaryArray.from_arrays(indices, ordered, safe=False)


def _text_parts(path: str, array: Any) -> Iterator[Part]:
    _, offset_buffer, data = array.buffers()
    if len(array) == 0:
        yield Part(path, "text", b"")
        return
    offsets = np.frombuffer(offset_buffer, "<i4")[array.offset : array.offset + len(array) + 1]
    yield Part(f"{path}.lengths", "int32", _little_endian(np.diff(offsets)))
    text = memoryview(data)[int(offsets[0]) : int(offsets[-1])] if data else b""
    yield Part(path, "text", text)


def _numbers(array: Any) -> memoryview:
    return _little_endian(values_of(array))


def _little_endian(numbers: Any) -> memoryview:
    column: Any = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    return memoryview(column).cast("B") if column.size else memoryview(b"")
