"""Requests of Prometheus' remote write, encoded by hand: what is read is not read by what wrote it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Sample = tuple[int, float]
"""Milliseconds since 1970, and a value."""


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _field(number: int, raw: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _samples(samples: Sequence[Sample]) -> bytes:
    return b"".join(
        _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms)) for at_ms, value in samples
    )


def write_request_1(labels: Mapping[str, str], samples: Sequence[Sample], kind: int = 0) -> bytes:
    """A request of version 1.0 with one series; `kind` is the type of its metric in the metadata."""
    written = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels.items()
    )
    metadata = b"\x08" + _varint(kind) + _field(2, labels["__name__"].encode())
    return _field(1, written + _samples(samples)) + (_field(3, metadata) if kind else b"")


def write_request_2(labels: Mapping[str, str], samples: Sequence[Sample], kind: int = 0) -> bytes:
    """The same of version 2.0, whose labels point into a table."""
    symbols = ["", *(text for pair in labels.items() for text in pair)]
    refs = b"".join(_varint(at) for at in range(1, len(symbols)))
    series = _field(1, refs) + _samples(samples) + _field(5, b"\x08" + _varint(kind))
    return b"".join(_field(4, each.encode()) for each in symbols) + _field(5, series)
