"""The canonical bytes of Arrow columns, for the content hash.

They depend on the values alone: not on offsets within buffers, on dictionaries or on what lies under a null.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.domain.datasets.content import Part

_ZEROS = {"string": "", "timestamp[us, tz=UTC]": 0}


def parts(table: pa.Table) -> Iterator[Part]:
    """The parts of a block, column by column in the order of the schema."""
    for name in table.column_names:
        column = table.column(name)
        array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        yield from _parts(name, array)


def _parts(path: str, array: Any) -> Iterator[Part]:
    if array.null_count:
        yield Part(f"{path}.is_valid", "bool", _numbers(array.is_valid()))
        array = pc.fill_null(array, pa.scalar(_ZEROS[str(array.type)], array.type))
    if pa.types.is_map(array.type):
        yield from _map_parts(path, array)
    elif pa.types.is_list(array.type):
        yield Part(f"{path}.lengths", "int32", _numbers(array.value_lengths()))
        yield from _parts(f"{path}.item", array.flatten())
    elif pa.types.is_struct(array.type):
        for field, child in zip(array.type, array.flatten(), strict=True):
            yield from _parts(f"{path}.{field.name}", child)
    elif pa.types.is_string(array.type):
        yield from _text_parts(path, array)
    elif pa.types.is_fixed_size_binary(array.type):
        width = array.type.byte_width
        first = array.offset * width
        yield Part(path, f"bytes{width}", memoryview(array.buffers()[1])[first : first + len(array) * width])
    else:
        yield Part(path, str(array.type), _numbers(array))


def _map_parts(path: str, array: Any) -> Iterator[Part]:
    offsets = array.offsets.to_numpy()
    first, end = int(offsets[0]), int(offsets[-1])
    yield Part(f"{path}.lengths", "int32", _little_endian(np.diff(offsets)))
    yield from _parts(f"{path}.key", array.keys.slice(first, end - first))
    yield from _parts(f"{path}.value", array.items.slice(first, end - first))


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
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    return _little_endian(array.to_numpy(zero_copy_only=False))


def _little_endian(numbers: Any) -> memoryview:
    column: Any = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    return memoryview(column).cast("B") if column.size else memoryview(b"")
