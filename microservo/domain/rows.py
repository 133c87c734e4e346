"""Telemetry on its way in: rows of one service and instance, in columns, before they are packed.

Arrays have shape (rows,). Text that repeats is coded: each different text once, and an index per row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.telemetry import Float64, Ids, Int64, UInt8, UInt64

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """A column of text: `names` holds each different text once, `codes` one index into it per row."""

    names: tuple[str, ...]
    codes: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRows:
    """Metric points of one instance; `is_metered` where others measured it from outside."""

    service: str
    instance: str
    time_us: Int64
    name: Coded
    value: Float64
    is_metered: bool = False

    @property
    def count(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRows:
    """Log lines of one instance; `line_id` is the same where a retry repeats a line, and 0 where unknown."""

    service: str
    instance: str
    time_us: Int64
    severity: UInt8
    template: Coded
    trace_id: Ids
    span_id: Ids
    line_id: UInt64
    bodies: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRows:
    """Spans of one instance.

    Attributes:
        peer: the service that a span calls, empty where it calls none or does not say.
        address: where a call without a peer went; goes no further than the collector.
    """

    service: str
    instance: str
    start_us: Int64
    duration_us: Int64
    endpoint: Coded
    peer: Coded
    address: Coded
    kind: UInt8
    error: UInt8
    trace_id: Ids
    span_id: Ids
    parent_id: Ids

    @property
    def count(self) -> int:
        return len(self.start_us)


Rows = MetricRows | LogRows | SpanRows


def coded(texts: Iterable[str]) -> Coded:
    """The coded column of one text per row; names stand in the order of their first row.

    Example:
        >>> coded(["a", "b", "a"]).codes.tolist()
        [0, 1, 0]
    """
    index: dict[str, int] = {}
    codes = np.array([index.setdefault(text, len(index)) for text in texts], np.int64)
    return Coded(names=tuple(index), codes=codes)


def id_column(ids: Iterable[bytes], width: int) -> Ids:
    """The column of ids of `width` bytes each; an empty id becomes zeros."""
    none = bytes(width)
    return np.frombuffer(b"".join([each or none for each in ids]), f"V{width}")
