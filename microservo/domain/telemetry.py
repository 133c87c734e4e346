"""Telemetry in columns: packed batches as NumPy arrays, checked, and back.

A column of a batch is the little-endian bytes of one number per record (docs/decisions/0003-columns.md), so
reading a batch costs the same whether it holds one record or five hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

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

_INT64 = np.dtype("<i8")
_UINT16 = np.dtype("<u2")
_UINT64 = np.dtype("<u8")
_FLOAT64 = np.dtype("<f8")

CLIENT_SPAN = 3
SERVER_SPAN = 2
PRODUCER_SPAN = 4
CONSUMER_SPAN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricColumns:
    """Metric points of one service; all arrays have shape (points,)."""

    time_us: Int64
    instance: UInt16
    name: UInt16
    value: Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class LogColumns:
    """Log lines of one service; all arrays have shape (lines,).

    A sender's retry repeats the `line_id` of a line. A line of id 0 has no identity and is like no other:
    so are all lines of batches before version 2.
    """

    time_us: Int64
    instance: UInt16
    severity: UInt8
    template: UInt16
    span_id: UInt64
    line_id: UInt64


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


class _Layout(NamedTuple):
    """What the columns of a batch must be.

    Attributes:
        time: column that says how many records there are; eight bytes each.
        widths: bytes per record of each column.
        dictionaries: what each index column points into.
    """

    time: str
    widths: tuple[tuple[str, int], ...]
    dictionaries: tuple[tuple[str, str], ...]


_LAYOUTS: dict[type[Batch], _Layout] = {
    MetricBatch: _Layout(
        time="time_us",
        widths=(("instance", 2), ("name", 2), ("value", 8)),
        dictionaries=(("instance", "instances"), ("name", "names")),
    ),
    LogBatch: _Layout(
        time="time_us",
        widths=(("trace_id", 16), ("instance", 2), ("severity", 1), ("template", 2), ("span_id", 8)),
        dictionaries=(("instance", "instances"), ("template", "templates")),
    ),
    SpanBatch: _Layout(
        time="start_us",
        widths=(
            ("duration_us", 8),
            ("trace_id", 16),
            ("parent_id", 8),
            ("instance", 2),
            ("endpoint", 2),
            ("peer", 2),
            ("kind", 1),
            ("error", 1),
            ("span_id", 8),
        ),
        dictionaries=(("instance", "instances"), ("endpoint", "endpoints"), ("peer", "peers")),
    ),
}


def check(batch: Batch) -> int:
    """How many records a batch holds, once its columns are known to fit together.

    Raises:
        InvalidMessage: columns of different lengths, or an index that points nowhere.
    """
    layout = _LAYOUTS[type(batch)]
    time_bytes = len(getattr(batch, layout.time))
    count, rest = divmod(time_bytes, 8)
    if rest:
        msg = f"time column of {time_bytes} bytes; expected a multiple of 8"
        raise InvalidMessage(msg)
    for name, width in layout.widths:
        size = len(getattr(batch, name))
        if size != count * width:
            _refuse(name, size / width, count)
    if isinstance(batch, LogBatch):
        if len(batch.bodies) != count:
            _refuse("bodies", len(batch.bodies), count)
        if len(batch.line_id) not in (0, count * 8):
            _refuse("line_id", len(batch.line_id) / 8, count)
    if count:
        for name, dictionary in layout.dictionaries:
            _check_index(name, getattr(batch, name), len(getattr(batch, dictionary)))
    return count


def times_us(batch: Batch) -> Int64:
    """The event times of a checked batch, shape (records,): microseconds UTC."""
    if isinstance(batch, SpanBatch):
        ends: Int64 = np.frombuffer(batch.start_us, _INT64) + np.frombuffer(batch.duration_us, _INT64)
        return ends
    return np.frombuffer(batch.time_us, _INT64)


def metric_columns(batch: MetricBatch) -> MetricColumns:
    """The columns of a metric batch.

    Raises:
        InvalidMessage: columns of different lengths, or an index that points nowhere.
    """
    check(batch)
    return MetricColumns(
        time_us=times_us(batch),
        instance=np.frombuffer(batch.instance, _UINT16),
        name=np.frombuffer(batch.name, _UINT16),
        value=np.frombuffer(batch.value, _FLOAT64),
    )


def log_columns(batch: LogBatch) -> LogColumns:
    """The columns of a log batch.

    Raises:
        InvalidMessage: columns of different lengths, or an index that points nowhere.
    """
    check(batch)
    return LogColumns(
        time_us=times_us(batch),
        instance=np.frombuffer(batch.instance, _UINT16),
        severity=np.frombuffer(batch.severity, np.uint8),
        template=np.frombuffer(batch.template, _UINT16),
        span_id=np.frombuffer(batch.span_id, _UINT64),
        line_id=np.frombuffer(line_ids(batch), _UINT64),
    )


def line_ids(batch: LogBatch) -> bytes:
    """The column of line identities of a checked batch: zeros where it has none."""
    return batch.line_id or bytes(8 * len(batch.bodies))


def span_columns(batch: SpanBatch) -> SpanColumns:
    """The columns of a span batch.

    Raises:
        InvalidMessage: columns of different lengths, or an index that points nowhere.
    """
    check(batch)
    return SpanColumns(
        time_us=times_us(batch),
        duration_us=np.frombuffer(batch.duration_us, _INT64),
        instance=np.frombuffer(batch.instance, _UINT16),
        endpoint=np.frombuffer(batch.endpoint, _UINT16),
        peer=np.frombuffer(batch.peer, _UINT16),
        kind=np.frombuffer(batch.kind, np.uint8),
        error=np.frombuffer(batch.error, np.uint8),
        span_id=np.frombuffer(batch.span_id, _UINT64),
    )


def record_count(batch: Batch) -> int:
    """How many records a batch holds, by its column of times alone."""
    return len(getattr(batch, _LAYOUTS[type(batch)].time)) // 8


def _check_index(name: str, column: bytes, size: int) -> None:
    # An index into one entry can only be zeros, and most batches are of one instance.
    if size == 1 and column == bytes(len(column)):
        return
    highest = int(np.maximum.reduce(np.frombuffer(column, _UINT16)))
    if highest >= size:
        msg = f"column {name} points at entry {highest} of a dictionary of {size}"
        raise InvalidMessage(msg)


def _refuse(name: str, got: float, expected: int) -> None:
    msg = f"column {name} has {got:g} entries; expected {expected}, one per record"
    raise InvalidMessage(msg)
