"""Rows of telemetry from one or several readers, in canonical order, without what senders repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.arrays import Column, array_of, column_array, hex_texts, values_of
from microservo.datasets.slices import SLICE_US
from microservo.datasets.tables import TABLES
from microservo.datasets.telemetry import Batches, Int64
from microservo.domain.datasets.ordering import Index, Key, canonical_order, ranked
from microservo.domain.repetition import repeats, span_hint
from microservo.domain.telemetry import LAYOUTS, PROTOCOLS, SPAN_KINDS, Signal
from microservo.domain.window_policy import WindowPolicy

_SOURCE_COLUMNS = {"time": "time_us", "start": "start_us"}
_CODES = {"kind": list(SPAN_KINDS), "protocol": list(PROTOCOLS)}
"""Texts of columns that are numbers in the records."""


def in_order(signal: Signal, number: int, packed: Sequence[pa.Table], policy: WindowPolicy) -> pa.Table:
    """The rows of a slice as they stand in the dataset, from what its readers packed."""
    return _Slice(signal, number, packed, policy).table()


class _Slice:
    """The rows of one slice, in the order they came in until `table` picks them.

    Rows that touch the slice only because their batch does, and those too late for any window, are left out.
    """

    def __init__(self, signal: Signal, number: int, packed: Sequence[pa.Table], policy: WindowPolicy) -> None:
        self._schema = TABLES[f"{signal}.parquet"]
        self._layout = LAYOUTS[signal]
        self._columns = _joined(packed)
        self._bodies = _bodies(packed) if "bodies" in self._layout.arrays else None
        if signal == "traces":
            self._columns["time_us"] = self._columns["start_us"] + self._columns["duration_us"]
        batches = _batches(packed)
        self._texts = self._decode(batches)
        self._place(number, batches, policy)
        self._hint = self._identity_hint(signal)

    def table(self) -> pa.Table:
        """The rows that count, in order."""
        keys = self._keys()
        if self._hint is not None:
            self._kept[self._repeats(keys, self._hint)] = False
        order = canonical_order(keys, self._kept, self._tie_keys, once=self._hint is None)
        arrays = [self._picked(field, order) for field in self._schema]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _decode(self, batches: Batches) -> dict[str, list[str]]:
        """Turns indices into a batch's own texts to ranks among all texts; the texts by column and rank."""
        texts = {}
        counts, sets = batches.counts, batches.sets
        services = ranked(each[0] for each in batches.texts)
        of_set = np.array([services[each[0]] for each in batches.texts], np.int32)
        self._columns["service"] = np.repeat(of_set[sets], counts)
        texts["service"] = list(services)
        for place, name in enumerate(self._layout.indexes, start=1):
            ranks = ranked(text for each in batches.texts for text in each[place])
            table = np.array([ranks[text] for each in batches.texts for text in each[place]], np.int32)
            firsts = np.cumsum([0, *(len(each[place]) for each in batches.texts)])[:-1]
            self._columns[name] = table[np.repeat(firsts[sets], counts) + self._columns[name]]
            texts[name] = list(ranks)
        return texts

    def _place(self, number: int, batches: Batches, policy: WindowPolicy) -> None:
        """Finds the window of each row, whether it is late, and whether it counts."""
        time_us = self._columns["time_us"]
        windows = time_us // policy.size_us
        starts = windows * policy.size_us
        due = starts + policy.size_us + self._delays(starts, batches.delays)
        self._columns["late"] = due <= np.repeat(batches.first_us, batches.counts)
        in_time = due > np.repeat(batches.final_us, batches.counts)
        self._kept = in_time & (starts // SLICE_US == number)
        first = number * SLICE_US // policy.size_us
        self._window = Key(windows - first, SLICE_US // policy.size_us + 2)
        self._since = Key(time_us - starts, policy.size_us)

    def _delays(self, starts: Int64, delays: Sequence[tuple[str, int, int]]) -> Int64:
        """How much longer than others the window of each row waits for it."""
        found = np.zeros(len(starts), np.int64)
        ranks = {service: rank for rank, service in enumerate(self._texts["service"])}
        for service, start_us, delay_us in delays:
            if service in ranks:
                found[(self._columns["service"] == ranks[service]) & (starts == start_us)] = delay_us
        return found

    def _keys(self) -> list[Key]:
        service, *others = self._texts
        texts = {name: Key(self._columns[name], max(1, len(self._texts[name]))) for name in self._texts}
        return [self._window, texts[service], self._since, *(texts[name] for name in others)]

    def _identity_hint(self, signal: Signal) -> NDArray[np.uint64] | None:
        """The hint of `repeats`, where rows have an identity; else rows that agree in all are one."""
        columns = self._columns
        if signal == "metrics":
            return None
        if signal == "logs":
            return np.where(self._kept, columns["line_id"], np.uint64(0))
        hint = span_hint(columns["trace_id"], columns["span_id"].view("<u8"))
        return np.where(self._kept, hint, np.uint64(0))

    def _repeats(self, keys: Sequence[Key], hint: NDArray[np.uint64]) -> Index:
        """Rows that repeat another of their window; of those, one that was on time stays if any was."""
        names = ("line_id",) if "line_id" in self._columns else ("trace_id", "span_id", "kind")

        def identity(rows: Index) -> list[NDArray[Any]]:
            ids = [key for name in names for key in _integers(self._columns[name][rows])]
            return [self._window.values[rows], self._columns["service"][rows], *ids]

        def choice(rows: Index) -> list[NDArray[Any]]:
            *others, late = self._tie_keys(rows)
            return [late, *(key.values[rows] for key in keys), *others]

        return repeats(hint, identity=identity, choice=choice)

    def _tie_keys(self, rows: Index) -> list[NDArray[np.int64]]:
        """Integer keys of all that is seen of a row but what was sorted by already; lateness last."""
        keys = [] if self._bodies is None else [*_integers(values_of(self._bodies.take(column_array(rows))))]
        for name in sorted(self._columns.keys() - self._texts.keys() - {"time_us", "late", "line_id"}):
            keys += _integers(self._columns[name][rows])
        return [*keys, self._columns["late"][rows].astype(np.int64)]

    def _picked(self, field: Any, order: Index) -> Any:
        if field.name == "body":
            assert self._bodies is not None
            return self._bodies.take(column_array(order))
        column = np.take(self._columns[_SOURCE_COLUMNS.get(field.name, field.name)], order)
        texts = self._texts.get(field.name)
        if field.name in _CODES:
            texts = _CODES[field.name]
            column = np.where(column < len(texts), column, 0)
        if column.dtype.kind == "V":
            return hex_texts(column)
        if texts is None:
            return column_array(column, field.type, unknown=column == 0 if field.nullable else None)
        # The empty text sorts first, and stands first among those of a code.
        unknown = column == 0 if field.nullable and texts[0] == "" else None
        indices = column_array(column, pa.int32(), unknown=unknown)
        return pa.DictionaryArray.from_arrays(indices, array_of(texts, pa.string()), safe=False)


def _joined(packed: Sequence[pa.Table]) -> dict[str, Column]:
    names = [name for name in packed[0].column_names if name != "body"]
    parts = {name: [values_of(table.column(name).chunk(0)) for table in packed] for name in names}
    return {name: each[0] if len(each) == 1 else np.concatenate(each) for name, each in parts.items()}


def _bodies(packed: Sequence[pa.Table]) -> Any:
    return pa.concat_arrays([table.column("body").chunk(0) for table in packed])


def _batches(packed: Sequence[pa.Table]) -> Batches:
    """The batches of all readers, under one numbering of their texts."""
    parts = [Batches.of(table) for table in packed]
    firsts = accumulate((len(each.texts) for each in parts), initial=0)
    return Batches(
        counts=np.concatenate([each.counts for each in parts]),
        first_us=np.concatenate([each.first_us for each in parts]),
        final_us=np.concatenate([each.final_us for each in parts]),
        sets=np.concatenate([each.sets + first for each, first in zip(parts, firsts, strict=False)]),
        texts=[texts for each in parts for texts in each.texts],
        delays=[delay for each in parts for delay in each.delays],
    )


def _integers(column: Column) -> Iterator[NDArray[np.int64]]:
    """Keys that are equal exactly where values are the same to the bit, in a fixed order."""
    if column.dtype.kind == "O":
        yield np.unique(column, return_inverse=True)[1].astype(np.int64)
    elif column.dtype.kind in "fV":
        words = np.ascontiguousarray(column).view("<i8").reshape(len(column), -1)
        yield from words.T
    else:
        yield column.astype(np.int64)
