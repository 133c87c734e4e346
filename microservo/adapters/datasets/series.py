"""What the report's timeline shows, read from a dataset's tables and thinned to what a screen can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

Values = NDArray[np.float64]
Points = dict[int, float]
"""Values by the start of their window, in microseconds UTC."""

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


@dataclass(slots=True)
class ServiceSeries:
    """Everything known of one service, by window."""

    ends: dict[int, int] = field(default_factory=dict)
    features: dict[str, Points] = field(default_factory=dict)
    scores: dict[str, Points] = field(default_factory=dict)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_series(folder: Path) -> dict[str, ServiceSeries]:
    """The series of each service from `windows.parquet` and `scores.parquet`."""
    found: dict[str, ServiceSeries] = {}
    with pq.ParquetFile(folder / "windows.parquet") as file:
        columns = ["service", "start", "end", "final", "labels", "features"]
        for index in range(file.metadata.num_row_groups):
            rows = file.read_row_group(index, columns)
            _add_windows(found, rows.filter(rows.column("final")).combine_chunks())
    _add_scores(found, pq.read_table(folder / "scores.parquet"))
    return found


def thinned(
    instants: Values, values: Values, points: int, how: Literal["mean", "max"]
) -> tuple[Values, Values]:
    """At most `points` pairs: neighbours become one, by their mean or highest value; NaN where all are.

    It stands at the mean of their instants.

    Example:
        >>> thinned(np.array([0.0, 1.0, 2.0]), np.array([1.0, 5.0, 2.0]), 2, "max")[1].tolist()
        [5.0, 2.0]
    """
    width = -(-len(instants) // points) if len(instants) else 1
    if width == 1:
        return instants, values
    firsts = np.arange(0, len(instants), width)
    known = ~np.isnan(values)
    counts = np.add.reduceat(known, firsts)
    if how == "max":
        result = np.maximum.reduceat(np.where(known, values, -np.inf), firsts)
    else:
        result = np.add.reduceat(np.where(known, values, 0.0), firsts) / np.maximum(counts, 1)
    middles = np.add.reduceat(instants, firsts) / np.diff(np.append(firsts, len(instants)))
    return middles, np.where(counts > 0, result, np.nan)


def points_per_series(services: int, series: int) -> int:
    """How many points each series may have, so that the report stays small however long the run was."""
    fair = POINTS_IN_ALL // max(1, services * series)
    return max(_FEWEST_POINTS, min(_MOST_POINTS, fair))


def _add_windows(found: dict[str, ServiceSeries], rows: pa.Table) -> None:
    services = rows.column("service").to_pylist()
    starts = _micros(rows, "start")
    ends = _micros(rows, "end")
    for service, start, end in zip(services, starts, ends, strict=True):
        found.setdefault(service, ServiceSeries()).ends[start] = end
    for feature, row, value in _features(rows):
        points = found[services[row]].features.setdefault(feature, {})
        points[starts[row]] = value
    for row, labels in enumerate(rows.column("labels").to_pylist()):
        for label in labels:
            known = found[services[row]].labels.setdefault(label["fault_id"], {"from": starts[row], **label})
            known["to"] = ends[row]


def _features(rows: pa.Table) -> Iterator[tuple[str, int, float]]:
    """The features that can be shown, with the number of their row."""
    for chunk in rows.column("features").chunks:
        offsets = chunk.offsets.to_numpy()
        keys, values = chunk.keys, chunk.items.to_numpy()
        for feature in (name for shown in SHOWN for name in shown.features):
            places = np.flatnonzero(pc.equal(keys, feature).to_numpy(zero_copy_only=False))
            at_rows = np.searchsorted(offsets, places, "right") - 1
            for row, value in zip(at_rows.tolist(), values[places].tolist(), strict=True):
                yield feature, row, value


def _add_scores(found: dict[str, ServiceSeries], rows: pa.Table) -> None:
    columns = (
        rows.column("service").to_pylist(),
        rows.column("algorithm").to_pylist(),
        _micros(rows, "start"),
        rows.column("score").to_pylist(),
    )
    for service, algorithm, start, score in zip(*columns, strict=True):
        if service in found:
            found[service].scores.setdefault(algorithm, {})[start] = score


def _micros(rows: pa.Table, column: str) -> list[int]:
    micros: list[int] = rows.column(column).cast(pa.int64()).to_pylist()
    return micros
