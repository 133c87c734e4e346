"""Telemetry as series on a grid of time: a column for each service and metric, operation or template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.arrays import values_of
from microservo.datasets.formats.columns import (
    Coded,
    Float64,
    Int64,
    coded,
    means,
    numbers_of,
    quantiles,
    sums,
)
from microservo.datasets.formats.stretches import SECOND_US, Stretches

METRIC_COLUMNS = ("time", "service", "name", "value")
LOG_COLUMNS = ("time", "service", "template")
SPAN_COLUMNS = ("time", "service", "endpoint", "kind", "duration_us", "error")

WORKLOAD, ERRORS, P50, P90 = "workload", "error", "latency-50", "latency-90"
REQUEST_SERIES = (WORKLOAD, ERRORS, P50, P90)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Bins of equal length, in order and apart from one another; gaps may lie between them.

    Attributes:
        starts_s: when each begins, in whole seconds since the epoch.
        length_s: length of each, in seconds.
    """

    starts_s: Int64
    length_s: int

    @property
    def stretches(self) -> Stretches:
        """The time that they take."""
        starts_us = (self.starts_s * SECOND_US).tolist()
        return Stretches.of((start, start + self.length_s * SECOND_US) for start in starts_us)

    def bins(self, times_us: Int64) -> tuple[Int64, NDArray[np.bool_]]:
        """The place of the bin of each instant, and whether it lies in any."""
        seconds = times_us // SECOND_US
        place = np.searchsorted(self.starts_s, seconds, "right") - 1
        if not len(self.starts_s):
            return place, np.zeros(len(place), np.bool_)
        return place, (place >= 0) & (seconds < self.starts_s[np.maximum(place, 0)] + self.length_s)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Values of shape (bins, columns); a column is of a service and of something of it, by its name."""

    columns: list[tuple[str, str]]
    values: Float64

    def beside(self, other: Series) -> Series:
        """The columns of both."""
        return Series([*self.columns, *other.columns], np.hstack((self.values, other.values)))


def metric_series(points: pa.Table, grid: Grid, *, owner: str = "service") -> Series:
    """The mean of the points of each metric over all of its owner; NaN where there is none.

    Args:
        points: with `METRIC_COLUMNS`, and the owner's.
        grid: of time.
        owner: the column that says whose a series is.
    """
    time_us = values_of(points.column("time"))
    place, inside = grid.bins(time_us)
    of_row, columns = _columns(coded(points.column(owner)), coded(points.column("name")))
    shape = (len(grid.starts_s), len(columns))
    values = numbers_of(points, "value")
    return Series(columns, means(place[inside], of_row[inside], shape, values[inside]))


def request_series(spans: pa.Table, grid: Grid) -> Series:
    """Of the requests that each service served: how many a second, how many failed a second, latencies.

    Latencies are nearest-rank quantiles in seconds, NaN where nothing was served.
    """
    kind = coded(spans.column("kind"))
    is_server = kind.codes == (kind.texts.index("server") if "server" in kind.texts else -2)
    service = coded(spans.column("service"))
    place, inside = grid.bins(values_of(spans.column("time")))
    kept = is_server & inside
    served = np.unique(service.codes[is_server])
    row, column = place[kept], np.searchsorted(served, service.codes[kept])
    shape = (len(grid.starts_s), len(served))
    duration_s = numbers_of(spans, "duration_us")[kept] / SECOND_US
    failed = numbers_of(spans, "error")[kept].astype(np.float64)
    series = {
        WORKLOAD: sums(row, column, shape) / grid.length_s,
        ERRORS: sums(row, column, shape, failed) / grid.length_s,
        P50: quantiles(row, column, shape, duration_s, 0.5),
        P90: quantiles(row, column, shape, duration_s, 0.9),
    }
    columns = [(service.texts[code], name) for name in series for code in served.tolist()]
    return Series(columns, np.hstack(list(series.values())))


def log_series(lines: pa.Table, grid: Grid) -> Series:
    """How many lines of each template of each service there are in each bin."""
    place, inside = grid.bins(values_of(lines.column("time")))
    of_row, columns = _columns(coded(lines.column("service")), coded(lines.column("template")))
    return Series(columns, sums(place[inside], of_row[inside], (len(grid.starts_s), len(columns))))


def operation_series(spans: pa.Table, grid: Grid) -> tuple[Series, Series]:
    """Of each operation of each service: how many spans failed, and their mean duration in microseconds.

    The mean is NaN where there is no span.
    """
    place, inside = grid.bins(values_of(spans.column("time")))
    of_row, columns = _columns(coded(spans.column("service")), coded(spans.column("endpoint")))
    row, column, shape = place[inside], of_row[inside], (len(grid.starts_s), len(columns))
    failed = numbers_of(spans, "error")[inside].astype(np.float64)
    duration_us = numbers_of(spans, "duration_us")[inside].astype(np.float64)
    return (
        Series(columns, sums(row, column, shape, failed)),
        Series(columns, means(row, column, shape, duration_us)),
    )


def _columns(service: Coded, name: Coded) -> tuple[Int64, list[tuple[str, str]]]:
    """The column of each row, and of each column the service and the name that it is of."""
    pairs, place = np.unique(service.codes * max(1, len(name.texts)) + name.codes, return_inverse=True)
    found = [divmod(pair, max(1, len(name.texts))) for pair in pairs.tolist()]
    return place.astype(np.int64), [(service.texts[first], name.texts[second]) for first, second in found]
