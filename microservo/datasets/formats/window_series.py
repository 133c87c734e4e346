"""Windows as series: of each service a row per window that has a truth, a column per feature, no gap filled.

Windows are read block by block, so memory grows with the number of windows but not with that of features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.columns import Float64, Int64, coded
from microservo.datasets.formats.source import Source

WINDOWS = "windows.parquet"
_FACTS = ("service", "start", "end", "truth")
_LISTS = ("feature_names", "feature_values")


@dataclass(frozen=True, slots=True, eq=False)
class ServiceWindows:
    """The windows of a service that have a truth, in order; instants in microseconds UTC.

    Attributes:
        start_us: shape (windows,), as the two that follow.
        is_anomalous: the others are normal.
        features: all that any of its windows has, sorted.
        masked: how many windows are left out since they have no truth.
    """

    start_us: Int64
    end_us: Int64
    is_anomalous: NDArray[np.bool_]
    features: tuple[str, ...]
    masked: int

    def stretches(self) -> list[tuple[int, int]]:
        """First and last row of each stretch of anomalous windows that follow one another in time."""
        rows = np.flatnonzero(self.is_anomalous)
        if not len(rows):
            return []
        follows = (np.diff(rows) == 1) & (self.start_us[rows[1:]] == self.end_us[rows[:-1]])
        breaks = np.flatnonzero(~follows)
        firsts = rows[np.concatenate(([0], breaks + 1))]
        lasts = rows[np.concatenate((breaks, [len(rows) - 1]))]
        return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some windows of a service, in order: `values` has shape (windows, features), NaN where undefined."""

    start_us: Int64
    is_anomalous: NDArray[np.bool_]
    values: Float64


def service_windows(source: Source) -> Mapping[str, ServiceWindows]:
    """What windows each service has, by name."""
    table = source.table(WINDOWS, *_FACTS)
    service, truth = coded(table.column("service")), _is_anomalous(table)
    start_us, end_us = values_of(table.column("start")), values_of(table.column("end"))
    known = ~_is_masked(table)
    features = _features(source)
    found = {}
    for code, name in enumerate(service.texts):
        own = service.codes == code
        rows = np.flatnonzero(own & known)
        rows = rows[np.argsort(start_us[rows], kind="stable")]
        found[name] = ServiceWindows(
            start_us=start_us[rows],
            end_us=end_us[rows],
            is_anomalous=truth[rows],
            features=tuple(sorted(features[name])),
            masked=int((own & ~known).sum()),
        )
    return found


def window_rows(source: Source, services: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, Rows]]:
    """The windows of some services that have a truth, service by service within each block.

    Args:
        source: the dataset.
        services: the features that are asked for, by service; of others there are no rows.
    """
    for block in source.blocks(WINDOWS, *_FACTS, *_LISTS):
        kept = block.filter(pc.not_equal(block.column("truth"), "masked"))
        service = coded(kept.column("service"))
        for code, name in enumerate(service.texts):
            if name in services:
                own = kept.take(column_array(np.flatnonzero(service.codes == code)))
                yield name, _rows(own, services[name])


def filled(values: Float64, before: Float64) -> Float64:
    """The same with the last value before it in place of each undefined one.

    Args:
        values: shape (rows, columns), in order of time.
        before: those of the row before the first, shape (columns,).
    """
    whole = np.vstack((before, values))
    places = np.where(np.isfinite(whole), np.arange(len(whole))[:, np.newaxis], 0)
    newest = np.maximum.accumulate(places, axis=0)
    found: Float64 = np.take_along_axis(whole, newest, axis=0)[1:]
    return found


def _rows(windows: pa.Table, features: tuple[str, ...]) -> Rows:
    order = np.argsort(values_of(windows.column("start")), kind="stable")
    windows = windows.take(column_array(order)).combine_chunks()
    lengths = values_of(pc.list_value_length(windows.column("feature_names"))).astype(np.int64)
    names = coded(pa.chunked_array([pc.list_flatten(windows.column("feature_names")).combine_chunks()]))
    values = values_of(pc.list_flatten(windows.column("feature_values")))
    place = {feature: number for number, feature in enumerate(features)}
    column = np.array([place.get(text, -1) for text in names.texts], np.int64)[names.codes]
    row = np.repeat(np.arange(len(lengths)), lengths)
    wide = np.full((len(lengths), len(features)), np.nan)
    asked = column >= 0
    wide[row[asked], column[asked]] = values[asked]
    return Rows(values_of(windows.column("start")), _is_anomalous(windows), wide)


def _features(source: Source) -> Mapping[str, set[str]]:
    """The features that any window with a truth has, by service."""
    found: dict[str, set[str]] = {}
    for block in source.blocks(WINDOWS, "service", "truth", "feature_names"):
        service = coded(block.column("service"))
        for name in service.texts:
            found.setdefault(name, set())
        kept = block.filter(pc.not_equal(block.column("truth"), "masked")).combine_chunks()
        if not kept.num_rows:
            continue
        owner = coded(kept.column("service"))
        lengths = values_of(pc.list_value_length(kept.column("feature_names"))).astype(np.int64)
        names = coded(pa.chunked_array([pc.list_flatten(kept.column("feature_names")).combine_chunks()]))
        pairs = np.unique(np.repeat(owner.codes, lengths) * max(1, len(names.texts)) + names.codes)
        for pair in pairs.tolist():
            of, what = divmod(pair, len(names.texts))
            found[owner.texts[of]].add(names.texts[what])
    return found


def _is_anomalous(table: pa.Table) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = values_of(pc.equal(table.column("truth"), "anomalous"))
    return found


def _is_masked(table: pa.Table) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = values_of(pc.equal(table.column("truth"), "masked"))
    return found
