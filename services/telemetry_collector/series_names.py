"""The names of time series, bounded: attributes whose values never end must not fill memory or messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from microservo.domain.bounded_names import OTHER, BoundedNames
from microservo.domain.rows import MetricRows, renamed

_METRICS = 1000
_SERIES = 1000
_SERIES_PER_METRIC = 100
_SERIES_BYTES = 100_000
"""A window repeats each name in seven features, and has to fit a message."""
_KEPT_COLUMNS = 256
_OVERFLOW = "{otel.metric.overflow=true}"
"""What the SDKs of OpenTelemetry put in the place of attributes beyond their own limit of cardinality."""


class SeriesNames:
    """Admits names of the form `metric{attributes}`.

    Of each service, the first 1,000 metrics keep their names; points of others become `<other>`. The first
    1,000 series with attributes stay apart, 100 of one metric and 100 KB of names at most; what else a metric
    has goes together as `metric{otel.metric.overflow=true}`, so that no metric takes the place of another.
    """

    def __init__(self) -> None:
        self._metrics = BoundedNames(_METRICS)
        self._series: dict[str, set[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._bytes: dict[str, int] = {}
        self._columns: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}

    def admitted(self, rows: MetricRows) -> MetricRows:
        """The rows under the names that are admitted; rates that go together are added up."""
        names = rows.name.names
        # A sender mostly sends the same ones, and what was decided of a name holds.
        admitted = self._columns.get((rows.service, names))
        if admitted is None:
            if len(self._columns) >= _KEPT_COLUMNS:
                self._columns.clear()
            admitted = tuple([self.admit(rows.service, name) for name in names])
            self._columns[rows.service, names] = admitted
        if admitted == names:
            return rows
        found = replace(rows, name=renamed(rows.name, admitted))
        return found if rows.interval_us is None or len(found.name.names) == len(names) else _added_up(found)

    def admit(self, service: str, name: str) -> str:
        """The name under which the points of a name go on."""
        metric, brace, _ = name.partition("{")
        known = self._series.setdefault(service, set())
        if name in known:
            return name
        if self._metrics.admit(service, metric) == OTHER:
            return OTHER
        if not brace:
            return metric
        count = self._counts.get((service, metric), 0)
        name_bytes = self._bytes.get(service, 0) + len(name.encode("utf-8", "replace"))
        if len(known) >= _SERIES or count >= _SERIES_PER_METRIC or name_bytes > _SERIES_BYTES:
            return metric + _OVERFLOW
        known.add(name)
        self._counts[service, metric] = count + 1
        self._bytes[service] = name_bytes
        return name


def _added_up(rows: MetricRows) -> MetricRows:
    """Rates of one name and instant as one: theirs all together."""
    assert rows.interval_us is not None
    keys = np.stack((rows.name.codes, rows.time_us))
    different, place = np.unique(keys, axis=1, return_inverse=True)
    interval_us = np.zeros(different.shape[1], np.int64)
    np.maximum.at(interval_us, place.ravel(), rows.interval_us)
    return replace(
        rows,
        time_us=different[1],
        name=replace(rows.name, codes=different[0]),
        value=np.bincount(place.ravel(), weights=rows.value).astype(np.float64),
        interval_us=interval_us,
    )
