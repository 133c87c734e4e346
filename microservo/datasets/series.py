"""What the report's timeline shows, read from a dataset's tables and thinned on the way.

A series is kept as bins of equal length, no more than a screen can hold: memory does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from microservo.datasets.arrays import array_of, values_of

Values = NDArray[np.float64]
Instants = NDArray[np.int64]

POINTS_IN_ALL = 150_000
_FEWEST_POINTS, _MOST_POINTS = 100, 1_500


class Shown(NamedTuple):
    """A metric that can be chosen: the first feature that a service has is taken, times a factor."""

    key: str
    label: str
    features: tuple[str, ...]
    factor: float
    thinned_by: Literal["mean", "max"]


SHOWN = (
    Shown("p99", "request p99, ms", ("request/*/p99_ms", "call/*/p99_ms"), 1, "max"),
    Shown("errors", "error share, %", ("request/*/error_share", "call/*/error_share"), 100, "max"),
    Shown("cpu", "CPU, cores", ("metric/process.cpu.utilization/mean",), 1, "mean"),
    Shown("memory", "memory, MiB", ("metric/process.memory.usage/mean",), 1 / 2**20, "mean"),
    Shown("log_errors", "error lines", ("log/severity/error",), 1, "max"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """From the start of a run's first window to the end of its last, in bins.

    Attributes:
        from_us: microseconds UTC.
        to_us: microseconds UTC.
        bin_us: length of a bin, which holds one window or more.
    """

    from_us: int
    to_us: int
    bin_us: int

    @property
    def bins(self) -> int:
        return -(-(self.to_us - self.from_us) // self.bin_us)


class Series:
    """Values by bin: of each its mean, or its highest value; infinite and missing ones are passed over.

    Example:
        >>> series = Series(Span(0, 20, 10))
        >>> series.add(np.array([0, 5, 10]), np.array([1.0, 5.0, 2.0]))
        >>> series.points("max").tolist()
        [5.0, 2.0]
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._counts = np.zeros(span.bins, np.int64)
        self._sums = np.zeros(span.bins)
        self._peaks = np.full(span.bins, -np.inf)

    def add(self, at_us: Instants, values: Values) -> None:
        """Adds values by the start of their window; those outside the span are passed over."""
        inside = (at_us >= self._span.from_us) & (at_us < self._span.to_us) & np.isfinite(values)
        bins, values = (at_us[inside] - self._span.from_us) // self._span.bin_us, values[inside]
        np.add.at(self._counts, bins, 1)
        np.add.at(self._sums, bins, values)
        np.maximum.at(self._peaks, bins, values)

    def points(self, how: Literal["mean", "max"]) -> Values:
        """One value per bin, NaN where there is none."""
        values = self._peaks if how == "max" else self._sums / np.maximum(self._counts, 1)
        return np.where(self._counts > 0, values, np.nan)


@dataclass(slots=True)
class Stretch:
    """Windows one after another of one truth; microseconds UTC."""

    from_us: int
    to_us: int
    truth: str


@dataclass(slots=True)
class ServiceSeries:
    """Everything known of one service; `middles` holds the middles of its windows, in microseconds."""

    span: Span
    middles: Series = field(init=False)
    features: dict[str, Series] = field(default_factory=dict)
    scores: dict[str, Series] = field(default_factory=dict)
    truths: list[Stretch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.middles = Series(self.span)


def read_series(folder: Path) -> tuple[Span, dict[str, ServiceSeries]]:
    """The series of each service from `windows.parquet` and `scores.parquet`."""
    algorithms = {name for rows in _blocks(folder, "scores", "algorithm") for name in _unique(rows, 0)}
    span = _span(folder, len(SHOWN) + len(algorithms))
    found: dict[str, ServiceSeries] = {}
    for rows in _blocks(
        folder, "windows", "service", "start", "end", "truth", "feature_names", "feature_values"
    ):
        _add_windows(found, span, rows)
    for rows in _blocks(folder, "scores", "service", "algorithm", "start", "score"):
        _add_scores(found, rows)
    return span, found


def points_per_series(services: int, series: int) -> int:
    """How many points each series may have, so that the report stays small however long the run was."""
    fair = POINTS_IN_ALL // max(1, services * series)
    return max(_FEWEST_POINTS, min(_MOST_POINTS, fair))


def bins_of(from_us: int, to_us: int, window_us: int, points: int) -> Span:
    """A span in at most `points` bins of whole windows."""
    windows = -(-(to_us - from_us) // window_us)
    return Span(from_us, to_us, window_us * max(1, -(-windows // points)))


def _span(folder: Path, series: int) -> Span:
    services: set[str] = set()
    starts, ends = [], []
    window_us = 0
    for rows in _blocks(folder, "windows", "service", "start", "end"):
        services.update(_unique(rows, 0))
        start_us, end_us = values_of(rows.column("start")), values_of(rows.column("end"))
        starts.append(int(start_us.min()))
        ends.append(int(end_us.max()))
        window_us = int(end_us[0] - start_us[0])
    if not starts:
        return Span(0, 1_000_000, 1_000_000)
    return bins_of(min(starts), max(ends), window_us, points_per_series(len(services), series))


def _blocks(folder: Path, table: str, *columns: str) -> Iterator[pa.Table]:
    with pq.ParquetFile(folder / f"{table}.parquet") as file:
        for index in range(file.metadata.num_row_groups):
            yield file.read_row_group(index, list(columns))


def _unique(rows: pa.Table, column: int) -> list[str]:
    unique: list[str] = rows.column(column).unique().to_pylist()
    return unique


def _add_windows(found: dict[str, ServiceSeries], span: Span, rows: pa.Table) -> None:
    starts, ends = values_of(rows.column("start")), values_of(rows.column("end"))
    names, numbers = _numbered(rows.column("service"))
    for number in np.flatnonzero(np.bincount(numbers)).tolist():
        series = found.setdefault(names[number], ServiceSeries(span))
        own = numbers == number
        series.middles.add(starts[own], (starts[own] + ends[own]) / 2)
    for feature, places, values in _features(rows):
        there = numbers[places]
        for number in np.flatnonzero(np.bincount(there)).tolist():
            own = there == number
            shown = found[names[number]].features.setdefault(feature, Series(span))
            shown.add(starts[places[own]], values[own])
    truths = rows.column("truth").to_pylist()
    for number, start_us, end_us, truth in zip(
        numbers.tolist(), starts.tolist(), ends.tolist(), truths, strict=True
    ):
        stretches = found[names[number]].truths
        if stretches and (stretches[-1].to_us, stretches[-1].truth) == (start_us, truth):
            stretches[-1].to_us = end_us
        else:
            stretches.append(Stretch(start_us, end_us, truth))


def _numbered(texts: pa.ChunkedArray) -> tuple[list[str], Instants]:
    """Texts of a column, each once, and the place of each row's text among them; some may have no row."""
    encoded = texts.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), values_of(encoded.indices)


def _features(rows: pa.Table) -> Iterator[tuple[str, NDArray[np.intp], Values]]:
    """The features that can be shown, with the rows that have them and their values."""
    names = rows.column("feature_names").combine_chunks()
    values = values_of(rows.column("feature_values").combine_chunks().flatten())
    ends = np.cumsum(values_of(names.value_lengths()))
    for feature in (name for shown in SHOWN for name in shown.features):
        wanted = array_of([feature], pa.string())[0]
        places = np.flatnonzero(values_of(pc.equal(names.flatten(), wanted)))
        yield feature, np.searchsorted(ends, places, "right"), values[places]


def _add_scores(found: dict[str, ServiceSeries], rows: pa.Table) -> None:
    starts, scores = values_of(rows.column("start")), values_of(rows.column("score"))
    services, algorithms = values_of(rows.column("service")), values_of(rows.column("algorithm"))
    for service in found.keys() & set(services.tolist()):
        of_service = services == service
        for algorithm in set(algorithms[of_service].tolist()):
            own = of_service & (algorithms == algorithm)
            series = found[service].scores.setdefault(algorithm, Series(found[service].span))
            series.add(starts[own], scores[own])
