"""Telemetry in columns: packed batches as NumPy arrays, checked.

A column of a batch is the little-endian bytes of one number per record (docs/decisions/0003-columns.md), so
reading a batch costs the same whether it holds one record or five hundred. Which columns there are stands in
the schemas; that they are equally long was checked when the batch was decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from microservo.errors import InvalidMessage
from schemas.columns import columns_of
from schemas.files import schema_of
from schemas.records import LogBatch, MetricBatch, SpanBatch

Signal = Literal["metrics", "logs", "traces"]
SIGNALS: tuple[Signal, ...] = ("metrics", "logs", "traces")
Batch = MetricBatch | LogBatch | SpanBatch

Int64 = NDArray[np.int64]
UInt16 = NDArray[np.uint16]
UInt8 = NDArray[np.uint8]
UInt64 = NDArray[np.uint64]
Float64 = NDArray[np.float64]
Ids = NDArray[Any]
"""Bytes of a fixed width per record: dtype V16 for trace ids, V8 for span ids."""

INTERNAL_SPAN = 1
SERVER_SPAN = 2
CLIENT_SPAN = 3
PRODUCER_SPAN = 4
CONSUMER_SPAN = 5
SPAN_KINDS = ("", "internal", "server", "client", "producer", "consumer")
"""What spans are, by the number of their kind; 0 where they do not tell."""
HTTP, RPC, MESSAGING, DATABASE = 1, 2, 3, 4
PROTOCOLS = ("", "http", "rpc", "messaging", "database")
"""What a call is by its semantic conventions, by its number; 0 where they do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the records of a signal lie in its batches, as their schema declares it (`schemas.columns`).

    Attributes:
        batch: the record that holds them.
        numbers: columns of `bytes` and what is in them, the times first.
        indexes: those of them that point into texts, and the field of the texts.
        optional: those of them that may be empty.
        arrays: columns that are arrays: one text per record.
    """

    batch: type[Batch]
    numbers: Mapping[str, np.dtype[Any]]
    indexes: Mapping[str, str]
    optional: frozenset[str]
    arrays: tuple[str, ...]

    @property
    def time(self) -> str:
        """The column that says how many records there are; eight bytes each."""
        return next(iter(self.numbers))

    @classmethod
    def of(cls, batch: type[Batch]) -> Layout:
        """The layout of a record of the contract."""
        columns = columns_of(schema_of(batch))
        return cls(
            batch=batch,
            numbers={each.name: np.dtype(each.dtype) for each in columns if each.dtype},
            indexes={each.name: each.index_into for each in columns if each.index_into},
            optional=frozenset(each.name for each in columns if each.may_be_empty),
            arrays=tuple(each.name for each in columns if not each.dtype),
        )


LAYOUTS: Mapping[Signal, Layout] = {
    "metrics": Layout.of(MetricBatch),
    "logs": Layout.of(LogBatch),
    "traces": Layout.of(SpanBatch),
}
_SIGNALS: Mapping[type[Batch], Signal] = {layout.batch: signal for signal, layout in LAYOUTS.items()}
# Asked for with every message, so the getters are made once.
_TIMES: Mapping[type[Batch], Callable[[Batch], bytes]] = {
    layout.batch: attrgetter(layout.time) for layout in LAYOUTS.values()
}
_INDEXES = {layout.batch: tuple(layout.indexes.items()) for layout in LAYOUTS.values()}
_INDEX = np.dtype("<u2")
_BELOW = tuple(bytes(range(size)) for size in range(256))
"""The values of a byte that are lower than each number."""
_TIME = np.dtype("<i8")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricColumns:
    """Metric points of one service; all arrays have shape (points,).

    `interval_us` is what a value is a rate over, 0 for one that is none; `age_us` how long before `time_us` a
    repeated value was measured, 0 for one as it came.
    """

    time_us: Int64
    instance: UInt16
    name: UInt16
    value: Float64
    interval_us: Int64
    age_us: Int64


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
    trace_id: Ids
    span_id: Ids
    line_id: UInt64


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanColumns:
    """Spans of one service; all arrays have shape (spans,). `time_us` is the end of the span."""

    time_us: Int64
    start_us: Int64
    duration_us: Int64
    instance: UInt16
    endpoint: UInt16
    peer: UInt16
    kind: UInt8
    protocol: UInt8
    error: UInt8
    trace_id: Ids
    span_id: Ids
    parent_id: Ids


def signal_of(batch: Batch) -> Signal:
    """What a batch is of."""
    return _SIGNALS[type(batch)]


def record_count(batch: Batch) -> int:
    """How many records a batch holds."""
    return len(_TIMES[type(batch)](batch)) // 8


def check(batch: Batch) -> int:
    """How many records a decoded batch holds, once its indexes are known to point at something.

    Raises:
        InvalidMessage: an index points nowhere.
    """
    count = record_count(batch)
    if count:
        for name, dictionary in _INDEXES[type(batch)]:
            _check_index(name, getattr(batch, name), len(getattr(batch, dictionary)))
    return count


def times_us(batch: Batch) -> Int64:
    """The event times of a batch, shape (records,): microseconds UTC."""
    if isinstance(batch, SpanBatch):
        ends: Int64 = np.frombuffer(batch.start_us, _TIME) + np.frombuffer(batch.duration_us, _TIME)
        return ends
    return np.frombuffer(batch.time_us, _TIME)


def joined_times_us(batches: Sequence[Batch]) -> Int64:
    """The event times of batches of one signal, one behind the other; there is at least one batch."""
    if isinstance(batches[0], SpanBatch):
        starts, durations = (
            np.frombuffer(b"".join(map(attrgetter(name), batches)), _TIME)
            for name in ("start_us", "duration_us")
        )
        ends: Int64 = starts + durations
        return ends
    return np.frombuffer(b"".join(map(attrgetter("time_us"), batches)), _TIME)


def column_bytes(batch: Batch, name: str, width: int) -> bytes:
    """A column of numbers as it lies in the batch; zeros of `width` bytes each where it is left out."""
    found: bytes = getattr(batch, name)
    return found or bytes(width * record_count(batch))


def metric_columns(batch: MetricBatch) -> MetricColumns:
    """The columns of a metric batch.

    Raises:
        InvalidMessage: an index points nowhere.
    """
    return MetricColumns(**_arrays(batch))


def log_columns(batch: LogBatch) -> LogColumns:
    """The columns of a log batch.

    Raises:
        InvalidMessage: an index points nowhere.
    """
    return LogColumns(**_arrays(batch))


def span_columns(batch: SpanBatch) -> SpanColumns:
    """The columns of a span batch.

    Raises:
        InvalidMessage: an index points nowhere.
    """
    return SpanColumns(time_us=times_us(batch), **_arrays(batch))


def _arrays(batch: Batch) -> dict[str, NDArray[Any]]:
    check(batch)
    return {
        name: np.frombuffer(column_bytes(batch, name, dtype.itemsize), dtype)
        for name, dtype in LAYOUTS[signal_of(batch)].numbers.items()
    }


def _check_index(name: str, column: bytes, size: int) -> None:
    # Nearly all dictionaries have fewer entries than a byte has values, and NumPy takes three times as long
    # for a column of a hundred indexes.
    if 0 < size < len(_BELOW):
        low, high = column[::2], column[1::2]
        if not low.translate(None, _BELOW[size]) and high.count(0) == len(high):
            return
    highest = int(np.maximum.reduce(np.frombuffer(column, _INDEX)))
    if highest >= size:
        msg = f"column {name} points at entry {highest} of a dictionary of {size}"
        raise InvalidMessage(msg)
