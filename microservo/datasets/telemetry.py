"""Rows of telemetry collected as packed batches, until all of their slice of event time are there.

Nothing is done per record in Python: the columns of many batches are joined as bytes and go on as arrays.
What belongs to a whole batch (service, names, what it is late for) goes on once per batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.arrays import array_of, column_array
from microservo.datasets.slices import SLICE_US
from microservo.domain.telemetry import (
    LAYOUTS,
    Batch,
    Layout,
    Signal,
    column_bytes,
    joined_times_us,
    record_count,
)
from microservo.domain.watermarks import Passed
from microservo.domain.window_policy import WindowPolicy

Int64 = NDArray[np.int64]


class Stamped(NamedTuple):
    """A batch, the number of its records, and the windows that they came late for."""

    batch: Batch
    records: int
    late: Passed


_NUMBERS = ("counts", "first_us", "final_us", "sets")
_TEXTS = b"texts"


class Batches(NamedTuple):
    """What belongs to whole batches; the arrays have one entry for each.

    Attributes:
        counts: rows of each batch.
        first_us: each one is late for windows that end by then.
        final_us: each one is too late for windows that end by then.
        sets: number of each one's texts.
        texts: service, and the texts of each dictionary, by number.
        delays: service, start and microseconds of the windows that wait longer than others for its rows.
    """

    counts: Int64
    first_us: Int64
    final_us: Int64
    sets: Int64
    texts: list[list[Any]]
    delays: list[tuple[str, int, int]]

    @classmethod
    def of(cls, table: pa.Table) -> Batches:
        """Those that the rows of a packed table came in."""
        found = table.schema.metadata
        counts, first_us, final_us, sets = (
            np.frombuffer(found[name.encode()], np.int64) for name in _NUMBERS
        )
        texts, delays = json.loads(found[_TEXTS])
        return cls(counts, first_us, final_us, sets, texts, delays)

    def packed(self) -> dict[bytes, bytes]:
        """The same as metadata of a table."""
        numbers = {name.encode(): getattr(self, name).tobytes() for name in _NUMBERS}
        return numbers | {_TEXTS: json.dumps([self.texts, self.delays]).encode()}


class RowBuffer:
    """Rows of one signal that wait until all of their slice are there.

    Args:
        signal: what the rows are of.
        policy: how windows are cut; a row belongs to the slice in which its window starts.
    """

    def __init__(self, signal: Signal, policy: WindowPolicy) -> None:
        self._layout = LAYOUTS[signal]
        self._size_us = policy.size_us
        self._texts_of = attrgetter("service", *self._layout.indexes.values())
        self._new: list[Stamped] = []
        self._slices: dict[int, list[Stamped]] = {}
        self._delays: dict[int, dict[tuple[str, int], int]] = {}
        self._next = 0

    def __len__(self) -> int:
        """How many batches are held; one that touches two slices counts for each."""
        return len(self._new) + sum(map(len, self._slices.values()))

    def add(self, batch: Batch, late: Passed) -> None:
        """Adds a batch that the windower accepted, with the windows it came late for."""
        records = record_count(batch)
        if records:
            self._new.append(Stamped(batch, records, late))

    def delay(self, service: str, start_us: int, delay_us: int) -> None:
        """Says that a window waits longer than others for its rows."""
        number = start_us // SLICE_US
        if number >= self._next:
            self._delays.setdefault(number, {})[service, start_us] = delay_us

    def release(self, before_us: int) -> Iterator[tuple[int, pa.Table]]:
        """Removes the slices that end by `before_us`, in order, each packed with some rows of others.

        `microservo.datasets.rows` puts packed rows in order. What comes later for these slices came
        too late for any window, and is let go.
        """
        self._share_out()
        self._next = max(self._next, before_us // SLICE_US)
        for number in sorted(number for number in self._slices if number < self._next):
            yield number, self._packed(self._slices.pop(number), self._delays.get(number, {}))
        for number in [number for number in self._delays if number < self._next]:
            del self._delays[number]

    def _share_out(self) -> None:
        """Puts new batches into the slices that they touch."""
        new, self._new = self._new, []
        if not new:
            return
        time_us = joined_times_us([each.batch for each in new])
        numbers = time_us // self._size_us * self._size_us // SLICE_US
        ends = np.cumsum([each.records for each in new])
        firsts = np.append(0, ends[:-1])
        low, high = np.minimum.reduceat(numbers, firsts), np.maximum.reduceat(numbers, firsts)
        for at, (stamped, first, last) in enumerate(zip(new, low.tolist(), high.tolist(), strict=True)):
            touched = [first] if first == last else sorted({*numbers[firsts[at] : ends[at]].tolist()})
            for number in touched:
                if number >= self._next:
                    self._slices.setdefault(number, []).append(stamped)

    def _packed(self, stamped: Sequence[Stamped], delays: Mapping[tuple[str, int], int]) -> pa.Table:
        batches = [each.batch for each in stamped]
        columns = {name: column_array(column) for name, column in _columns(stamped, self._layout).items()}
        if "bodies" in self._layout.arrays:
            bodies = [body for batch in batches for body in getattr(batch, "bodies")]  # noqa: B009
            columns["body"] = array_of(bodies, pa.string())
        numbers: dict[Any, int] = {}
        sets = [numbers.setdefault(texts, len(numbers)) for texts in map(self._texts_of, batches)]
        late = np.array([each.late for each in stamped], np.int64)
        described = Batches(
            counts=np.array([each.records for each in stamped], np.int64),
            first_us=late[:, 0],
            final_us=late[:, 1],
            sets=np.array(sets, np.int64),
            texts=list(map(list, numbers)),
            delays=[(*window, delay_us) for window, delay_us in delays.items()],
        )
        return pa.table(columns).replace_schema_metadata(described.packed())


def _columns(stamped: Sequence[Stamped], layout: Layout) -> dict[str, NDArray[Any]]:
    """The columns of numbers and of indices, each joined."""
    batches = [each.batch for each in stamped]
    rows = sum(each.records for each in stamped)
    return {
        name: np.frombuffer(_joined(batches, name, dtype.itemsize, rows), dtype)
        for name, dtype in layout.numbers.items()
    }


def _joined(batches: Sequence[Batch], name: str, width: int, rows: int) -> bytes:
    """A column of batches of so many rows in all; zeros of `width` bytes each where it is left out."""
    joined = b"".join(map(attrgetter(name), batches))
    if not joined:
        return bytes(width * rows)
    if len(joined) < width * rows:
        return b"".join([column_bytes(each, name, width) for each in batches])
    return joined
