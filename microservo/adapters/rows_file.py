"""Rows in files: frames of JSON and the bytes of arrays, so that what was read once is read again as it was.

::

    length of the header (8 bytes) | header, JSON | arrays, one behind the other
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from microservo.domain import exponential, identity, rows
from microservo.domain.rows import Rows
from microservo.errors import InvalidInput

_TYPES: dict[str, type[Any]] = {
    each.__name__: each
    for each in (
        *(rows.MetricRows, rows.PointRows, rows.DistributionRows, rows.LogRows, rows.SpanRows),
        *(rows.Coded, rows.CodedSeries, rows.Links, identity.Identity, exponential.Buckets),
    )
}
_LENGTH = 8


def to_bytes(some: Rows) -> bytes:
    """The frame of some rows; the same rows give the same bytes."""
    arrays: list[bytes] = []
    header = json.dumps(_plain(some, arrays)).encode()
    return b"".join((len(header).to_bytes(_LENGTH, "little"), header, *arrays))


def read_rows(path: Path) -> Iterator[Rows]:
    """The rows of a file of frames, in the order in which they were written.

    Raises:
        InvalidInput: the file was cut or is no such file.
    """
    with path.open("rb") as file:
        while length := file.read(_LENGTH):
            try:
                header = json.loads(file.read(int.from_bytes(length, "little")))
                yield cast("Rows", _made(header, file))
            except (ValueError, KeyError, TypeError) as error:
                msg = f"{path} can't be read ({error}); import the recording again"
                raise InvalidInput(msg) from error


def _plain(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(np.ascontiguousarray(value).tobytes())
        return {"array": value.dtype.str, "shape": value.shape}
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {
            "type": type(value).__name__,
            "fields": {each.name: _plain(getattr(value, each.name), arrays) for each in fields},
        }
    if isinstance(value, tuple):
        return [_plain(each, arrays) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _made(value: Any, file: BinaryIO) -> Any:
    if isinstance(value, list):
        return tuple([_made(each, file) for each in value])
    if not isinstance(value, dict):
        return value
    if "array" in value:
        dtype, shape = np.dtype(value["array"]), tuple(value["shape"])
        raw = file.read(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        return np.frombuffer(raw, dtype).reshape(shape)
    fields = {name: _made(each, file) for name, each in value["fields"].items()}
    return _TYPES[value["type"]](**fields)
