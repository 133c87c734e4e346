"""Rows of telemetry collected as packed batches, until all of their slice of event time are there.

Nothing is done per record in Python: the columns of many batches are joined as bytes and go on as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.adapters.datasets.tables import LOGS, METRICS, TRACES
from microservo.domain.datasets.ordering import Codes, Vocabulary
from microservo.domain.telemetry import Batch, Signal, record_count
from microservo.domain.windows import WindowPolicy

Columns = dict[str, Any]
"""Columns of equal length by name: arrays of numbers or codes of texts; bodies as an Arrow array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the rows of a signal lie in its batches and in its table.

    Attributes:
        schema: of the table.
        texts: column and attribute of the batch's dictionary.
        numbers: column and the type of its bytes.
        has_bodies: whether rows have a text of their own.
    """

    schema: pa.Schema
    texts: tuple[tuple[str, str], ...]
    numbers: tuple[tuple[str, str], ...]
    has_bodies: bool = False

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns whose texts repeat, in the order they are sorted by."""
        return ("service", *(name for name, _ in self.texts))


LAYOUTS: dict[Signal, Layout] = {
    "metrics": Layout(
        schema=METRICS,
        texts=(("instance", "instances"), ("name", "names")),
        numbers=(("time_us", "<i8"), ("value", "<f8")),
    ),
    "logs": Layout(
        schema=LOGS,
        texts=(("instance", "instances"), ("template", "templates")),
        numbers=(("time_us", "<i8"), ("severity", "u1"), ("trace_id", "V16"), ("span_id", "V8")),
        has_bodies=True,
    ),
    "traces": Layout(
        schema=TRACES,
        texts=(("instance", "instances"), ("endpoint", "endpoints"), ("peer", "peers")),
        numbers=(
            ("start_us", "<i8"),
            ("duration_us", "<i8"),
            ("kind", "u1"),
            ("error", "u1"),
            ("trace_id", "V16"),
            ("span_id", "V8"),
            ("parent_id", "V8"),
        ),
    ),
}


class RowBuffer:
    """Rows of one signal that wait until all of their slice are there.

    Args:
        signal: what the rows are of.
        policy: by which rows are on time, late, or left out because they came too late for any window.
    """

    def __init__(self, signal: Signal, policy: WindowPolicy) -> None:
        self._layout = LAYOUTS[signal]
        self._policy = policy
        self._batches: list[tuple[Batch, int]] = []
        self._rest: Columns | None = None
        self._vocabularies = {name: Vocabulary() for name in self._layout.text_columns}

    def add(self, batch: Batch, watermark_us: int) -> None:
        """Takes in a batch that the windower accepted, with the promise it travelled with."""
        self._batches.append((batch, watermark_us))

    def release(self, before_us: int) -> pa.Table:
        """Removes the rows older than `before_us` and gives them as they came, texts as dictionaries."""
        columns = self._gathered()
        old = columns["time_us"] < before_us
        self._rest = {name: _where(column, ~old) for name, column in columns.items()}
        return pa.table({name: self._arrow(name, _where(column, old)) for name, column in columns.items()})

    def windows(self) -> tuple[list[str], Codes, NDArray[np.int64]]:
        """What rows are here: services, and per row the number of its service and the start of its window."""
        columns = self._rest = self._gathered()
        starts = columns["time_us"] - columns["time_us"] % self._policy.size_us
        return self._vocabularies["service"].texts(), columns["service"], starts

    def _gathered(self) -> Columns:
        """All rows that are here, but for those that came too late for any window."""
        batches, self._batches = self._batches, []
        new = self._joined(batches)
        end_us = new["time_us"] - new["time_us"] % self._policy.size_us + self._policy.size_us
        new["late"] = new["stamp"] >= end_us + self._policy.first_cut_us
        kept = new.pop("stamp") < end_us + self._policy.final_cut_us
        if not kept.all():
            new = {name: _where(column, kept) for name, column in new.items()}
        if self._rest is None:
            return new
        return {name: _behind(column, new[name]) for name, column in self._rest.items()}

    def _joined(self, batches: Sequence[tuple[Batch, int]]) -> Columns:
        counts = np.array([record_count(batch) for batch, _ in batches], np.int64)
        services = [self._vocabularies["service"].codes((batch.service,)) for batch, _ in batches]
        columns: Columns = {
            "service": np.repeat(np.concatenate(services), counts) if batches else np.empty(0, np.int32),
            "stamp": np.repeat(np.array([stamp for _, stamp in batches], np.int64), counts),
        }
        for name, dtype in self._layout.numbers:
            columns[name] = np.frombuffer(_bytes(batches, name), dtype)
        if "time_us" not in columns:
            columns["time_us"] = columns["start_us"] + columns["duration_us"]
        for name, dictionary in self._layout.texts:
            columns[name] = self._codes(batches, counts, name, dictionary)
        if self._layout.has_bodies:
            bodies = [body for batch, _ in batches for body in getattr(batch, "bodies")]  # noqa: B009
            columns["body"] = pa.array(bodies, pa.string())
        return columns

    def _codes(
        self, batches: Sequence[tuple[Batch, int]], counts: NDArray[np.int64], name: str, dictionary: str
    ) -> Codes:
        if not batches:
            return np.empty(0, np.int32)
        vocabulary = self._vocabularies[name]
        tables = [vocabulary.codes(getattr(batch, dictionary)) for batch, _ in batches]
        starts = np.cumsum([0] + [len(table) for table in tables[:-1]])
        index = np.frombuffer(_bytes(batches, name), "<u2")
        codes: Codes = np.concatenate(tables)[index + np.repeat(starts, counts)]
        return codes

    def _arrow(self, name: str, column: Any) -> Any:
        if name in self._vocabularies:
            texts = pa.array(self._vocabularies[name].texts(), pa.string())
            return pa.DictionaryArray.from_arrays(pa.array(column), texts)
        return column if isinstance(column, pa.Array) else as_array(column)


def as_array(column: NDArray[Any], kind: Any = None) -> Any:
    """An Arrow array of numbers, or of bytes of fixed width."""
    if column.dtype.kind == "V":
        data = pa.py_buffer(np.ascontiguousarray(column))
        kind = kind or pa.binary(column.dtype.itemsize)
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(column), [None, data])
    return pa.array(column, kind)


def _where(column: Any, mask: NDArray[np.bool_]) -> Any:
    return column.filter(pa.array(mask)) if isinstance(column, pa.Array) else column[mask]


def _behind(column: Any, more: Any) -> Any:
    if isinstance(column, pa.Array):
        return pa.concat_arrays([column, more])
    return np.concatenate([column, more])


def _bytes(batches: Sequence[tuple[Batch, int]], column: str) -> bytes:
    return b"".join([getattr(batch, column) for batch, _ in batches])
