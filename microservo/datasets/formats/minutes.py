"""Telemetry hour by hour and minute by minute: formats that have a file for each, and memory for one hour."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.columns import Int64
from microservo.datasets.formats.stretches import SECOND_US, Stretches
from microservo.datasets.formats.telemetry_series import Grid

MINUTE_S, HOUR_S = 60, 3600


def hours(from_us: int, until_us: int) -> Iterator[tuple[Stretches, Grid]]:
    """Each hour that a run touches, from its first to its last second, and the minutes of it."""
    first = from_us // SECOND_US // MINUTE_S * MINUTE_S
    last = -(-until_us // SECOND_US)
    while first < last:
        end = min((first // HOUR_S + 1) * HOUR_S, last)
        minutes = np.arange(first, end, MINUTE_S, dtype=np.int64)
        yield Stretches.of([(first * SECOND_US, end * SECOND_US)]), Grid(minutes, MINUTE_S)
        first = int(minutes[-1]) + MINUTE_S


def by_minute(table: pa.Table, grid: Grid) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each minute that has any, in their order, with its start in seconds."""
    place, inside = grid.bins(values_of(table.column("time")))
    kept = np.flatnonzero(inside)
    order = kept[np.argsort(place[kept], kind="stable")]
    sorted_places: Int64 = place[order]
    for minute in np.unique(sorted_places).tolist():
        first, last = np.searchsorted(sorted_places, [minute, minute + 1]).tolist()
        yield int(grid.starts_s[minute]), table.take(column_array(order[first:last]))
