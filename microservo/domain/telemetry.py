"""Telemetry in columns: packed batches as NumPy arrays, checked, and back.

A column of a batch is the little-endian bytes of one number per record (docs/decisions/0003-columns.md), so
reading a batch costs the same whether it holds one record or five hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from microservo.errors import InvalidMessage
from schemas.records import LogBatch, MetricBatch, SpanBatch

Signal = Literal["metrics", "logs", "traces"]
SIGNALS: tuple[Signal, ...] = ("metrics", "logs", "traces")
Batch = MetricBatch | LogBatch | SpanBatch

Int64 = NDArray[np.int64]
UInt16 = NDArray[np.uint16]
UInt8 = NDArray[np.uint8]
UInt64 = NDArray[np.uint64]
Float64 = NDArray[np.float64]

CLIENT_SPAN = 3
SERVER_SPAN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricColumns:
    """Metric points of one service; all arrays have shape (points,)."""

    time_us: Int64
    instance: UInt16
    name: UInt16
    value: Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class LogColumns:
    """Log lines of one service; all arrays have shape (lines,)."""

    time_us: Int64
    instance: UInt16
    severity: UInt8
    template: UInt16
    span_id: UInt64


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanColumns:
    """Spans of one service; all arrays have shape (spans,). `time_us` is the end of the span."""

    time_us: Int64
    duration_us: Int64
    instance: UInt16
    endpoint: UInt16
    peer: UInt16
    kind: UInt8
    error: UInt8
    span_id: UInt64


def metric_columns(batch: MetricBatch) -> MetricColumns:
    """The columns of a metric batch.

    Raises:
        InvalidMessage: columns of different lengths, or an index that points nowhere.
    """
    time_us = _int64(batch.time_us)
    count = len(time_us)
    return MetricColumns(
        time_us=time_us,
        instance=_index(batch.instance, count, len(batch.instances), "instance"),
        name=_index(batch.name, count, len(batch.names), "name"),
        value=_column(batch.value, "<f8", count, "value"),
    )


def log_columns(batch: LogBatch) -> LogColumns:
    """The columns of a log batch.

    Raises:
        InvalidMessage: columns of different lengths, or an index that points nowhere.
    """
    time_us = _int64(batch.time_us)
    count = len(time_us)
    _column(batch.trace_id, "V16", count, "trace_id")
    if len(batch.bodies) != count:
        _refuse("bodies", len(batch.bodies), count)
    return LogColumns(
        time_us=time_us,
        instance=_index(batch.instance, count, len(batch.instances), "instance"),
        severity=_column(batch.severity, "u1", count, "severity"),
        template=_index(batch.template, count, len(batch.templates), "template"),
        span_id=_column(batch.span_id, "<u8", count, "span_id"),
    )


def span_columns(batch: SpanBatch) -> SpanColumns:
    """The columns of a span batch.

    Raises:
        InvalidMessage: columns of different lengths, or an index that points nowhere.
    """
    start_us = _int64(batch.start_us)
    count = len(start_us)
    duration_us: Int64 = _column(batch.duration_us, "<i8", count, "duration_us")
    _column(batch.trace_id, "V16", count, "trace_id")
    _column(batch.parent_id, "V8", count, "parent_id")
    return SpanColumns(
        time_us=start_us + duration_us,
        duration_us=duration_us,
        instance=_index(batch.instance, count, len(batch.instances), "instance"),
        endpoint=_index(batch.endpoint, count, len(batch.endpoints), "endpoint"),
        peer=_index(batch.peer, count, len(batch.peers), "peer"),
        kind=_column(batch.kind, "u1", count, "kind"),
        error=_column(batch.error, "u1", count, "error"),
        span_id=_column(batch.span_id, "<u8", count, "span_id"),
    )


def record_count(batch: Batch) -> int:
    """How many records a batch holds."""
    times = batch.start_us if isinstance(batch, SpanBatch) else batch.time_us
    return len(times) // 8


def _int64(column: bytes) -> Int64:
    if len(column) % 8:
        msg = f"time column of {len(column)} bytes; expected a multiple of 8"
        raise InvalidMessage(msg)
    return np.frombuffer(column, "<i8")


def _column(column: bytes, dtype: str, count: int, name: str) -> NDArray[Any]:
    width = np.dtype(dtype).itemsize
    if len(column) != count * width:
        _refuse(name, len(column) / width, count)
    return np.frombuffer(column, dtype)


def _index(column: bytes, count: int, size: int, name: str) -> UInt16:
    index: UInt16 = _column(column, "<u2", count, name)
    if count and int(index.max()) >= size:
        msg = f"column {name} points at entry {int(index.max())} of a dictionary of {size}"
        raise InvalidMessage(msg)
    return index


def _refuse(name: str, got: float, expected: int) -> None:
    msg = f"column {name} has {got:g} entries; expected {expected}, one per record"
    raise InvalidMessage(msg)
