"""Rows of telemetry as NumPy records, with text replaced by numbers that a dictionary keeps.

Duplicates and order: rows are sorted by all their columns before anything is computed, so that a result
depends on the *set* of rows and on nothing else: not on arrival, batch size, partition or writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from microservo.domain.telemetry import Batch, Signal, log_columns, metric_columns, span_columns
from schemas.records import LogBatch, MetricBatch, SpanBatch

Rows = NDArray[np.void]

METRIC_ROW = np.dtype([("time", "i8"), ("name", "i4"), ("instance", "i4"), ("value", "f8")])
LOG_ROW = np.dtype(
    [
        ("time", "i8"),
        ("severity", "u1"),
        ("template", "i4"),
        ("instance", "i4"),
        ("span", "u8"),
        ("body", "u4"),
    ]
)
SPAN_ROW = np.dtype(
    [
        ("time", "i8"),
        ("kind", "u1"),
        ("endpoint", "i4"),
        ("peer", "i4"),
        ("duration", "i8"),
        ("error", "u1"),
        ("instance", "i4"),
        ("span", "u8"),
    ]
)
ROW_TYPES: dict[Signal, np.dtype[np.void]] = {"metrics": METRIC_ROW, "logs": LOG_ROW, "traces": SPAN_ROW}
_TEXT_COLUMNS: dict[Signal, tuple[str, ...]] = {
    "metrics": ("name", "instance"),
    "logs": ("template", "instance"),
    "traces": ("endpoint", "peer", "instance"),
}
_CACHED_DICTIONARIES = 4096


class Dictionary:
    """Text to numbers and back. Numbers follow arrival, so they never leave this process."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._cache: dict[tuple[str, ...], NDArray[np.int32]] = {}
        self._order: list[int] = []
        self._ranks: NDArray[np.int32] = np.empty(0, np.int32)

    def numbers(self, texts: tuple[str, ...]) -> NDArray[np.int32]:
        """The number of each text, shape (texts,)."""
        found = self._cache.get(texts)
        if found is None:
            if len(self._cache) >= _CACHED_DICTIONARIES:
                self._cache.clear()
            found = np.fromiter(map(self._number, texts), np.int32, len(texts))
            self._cache[texts] = found
        return found

    def text(self, number: int) -> str:
        """The text of a number."""
        return self._texts[number]

    def in_order_of_text(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """The same column with each number replaced by the rank of its text among all texts known."""
        if len(self._ranks) != len(self._texts):
            self._rank()
        return self._ranks[numbers]

    def _rank(self) -> None:
        """Ranks anew; new texts go behind the sorted ones, where sorting has little left to do."""
        self._order += range(len(self._order), len(self._texts))
        self._order.sort(key=self._texts.__getitem__)
        self._ranks = np.empty(len(self._texts), np.int32)
        self._ranks[self._order] = np.arange(len(self._texts), dtype=np.int32)

    def _number(self, text: str) -> int:
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number


def signal_of(batch: Batch) -> Signal:
    """What a batch is of."""
    if isinstance(batch, MetricBatch):
        return "metrics"
    return "logs" if isinstance(batch, LogBatch) else "traces"


def rows(batch: Batch, dictionary: Dictionary) -> Rows:
    """The rows of a batch, in its order.

    Raises:
        InvalidMessage: the columns don't fit together.
    """
    if isinstance(batch, MetricBatch):
        return _metric_rows(batch, dictionary)
    if isinstance(batch, LogBatch):
        return _log_rows(batch, dictionary)
    return _span_rows(batch, dictionary)


def distinct(signal: Signal, blocks: Sequence[Rows], dictionary: Dictionary) -> Rows:
    """All rows of the blocks, sorted by all their columns (text by its text), each different one once."""
    merged = _joined(ROW_TYPES[signal], blocks)
    if len(merged) < 2:
        return merged
    keys: dict[str, NDArray[Any]] = {}
    for column in sorted_columns(signal):
        values = merged[column]
        text = column in _TEXT_COLUMNS[signal]
        keys[column] = dictionary.in_order_of_text(values) if text else values
    merged = merged[np.lexsort(list(keys.values())[::-1])]
    repeated = _repeated(merged)
    return merged[np.append(True, ~repeated)] if repeated.any() else merged


def _joined(row_type: np.dtype[np.void], blocks: Sequence[Rows]) -> Rows:
    """All rows of the blocks; np.concatenate would compare the types of the blocks field by field."""
    merged: Rows = np.empty(sum(map(len, blocks)), row_type)
    end = 0
    for block in blocks:
        start, end = end, end + len(block)
        merged[start:end] = block
    return merged


def _repeated(ordered: Rows) -> NDArray[np.bool_]:
    """Of each row but the first, whether it equals the one before; NaN equals nothing."""
    same: NDArray[np.bool_] = ordered["time"][1:] == ordered["time"][:-1]
    for column in ordered.dtype.names or ():
        # Hardly any two rows share their instant, so the other columns are seldom looked at.
        if not same.any():
            break
        same &= ordered[column][1:] == ordered[column][:-1]
    return same


def sorted_columns(signal: Signal) -> tuple[str, ...]:
    """The columns of a signal in the order they are sorted by: what features group by comes first."""
    first = {
        "metrics": ("name", "time"),
        "logs": ("severity", "template"),
        "traces": ("kind", "endpoint", "duration"),
    }
    chosen = first[signal]
    return chosen + tuple(name for name in ROW_TYPES[signal].names or () if name not in chosen)


def _metric_rows(batch: MetricBatch, dictionary: Dictionary) -> Rows:
    columns = metric_columns(batch)
    table = np.empty(len(columns.time_us), METRIC_ROW)
    table["time"] = columns.time_us
    table["value"] = columns.value
    table["name"] = dictionary.numbers(batch.names)[columns.name]
    table["instance"] = dictionary.numbers(batch.instances)[columns.instance]
    return table


def _log_rows(batch: LogBatch, dictionary: Dictionary) -> Rows:
    columns = log_columns(batch)
    table = np.empty(len(columns.time_us), LOG_ROW)
    table["time"] = columns.time_us
    table["severity"] = columns.severity
    table["span"] = columns.span_id
    table["template"] = dictionary.numbers(batch.templates)[columns.template]
    table["instance"] = dictionary.numbers(batch.instances)[columns.instance]
    # Two lines of one template in one instant are duplicates only if their text is the same too.
    table["body"] = np.fromiter(map(crc32, map(str.encode, batch.bodies)), np.uint32, len(batch.bodies))
    return table


def _span_rows(batch: SpanBatch, dictionary: Dictionary) -> Rows:
    columns = span_columns(batch)
    table = np.empty(len(columns.time_us), SPAN_ROW)
    table["time"] = columns.time_us
    table["duration"] = columns.duration_us
    table["kind"] = columns.kind
    table["error"] = columns.error
    table["span"] = columns.span_id
    table["endpoint"] = dictionary.numbers(batch.endpoints)[columns.endpoint]
    table["peer"] = dictionary.numbers(batch.peers)[columns.peer]
    table["instance"] = dictionary.numbers(batch.instances)[columns.instance]
    return table
