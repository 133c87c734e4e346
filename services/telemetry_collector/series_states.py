"""The newest point of each series of an instance, in columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microservo.adapters.otlp.series import quoted
from microservo.domain.bucket_quantiles import bucket_quantiles
from microservo.domain.exponential import Buckets
from microservo.domain.increments import NEVER_US, Before, Now, Steps, steps
from microservo.domain.rows import CodedSeries, DistributionRows
from microservo.domain.telemetry import Float64

Slots = NDArray[np.intp]
_KEPT_COLUMNS = 64
_LEAST = 64
_UNTRACKED = 0
"""Slot of all series for which there was no room, and number of their metrics."""
_NO_POINT = np.array(
    (NEVER_US, 0, 0.0, 0.0), [("time_us", "i8"), ("start_us", "i8"), ("value", "f8"), ("total", "f8")]
)
_NO_EXPORT = np.array((NEVER_US, NEVER_US), [("newest_us", "i8"), ("before_us", "i8")])


class Room:
    """How many more series may be remembered, of all senders together."""

    def __init__(self, series: int) -> None:
        self.left = series


class SeriesColumn:
    """The different series of some rows, found among those of their sender.

    Args:
        series: as they were sent.
        slots: of each, its place in the sender's columns.
        metrics: of each, the number of its metric.
        marked: of each, its labels, with the scope where another has the series without it.
    """

    def __init__(self, series: CodedSeries, slots: Slots, metrics: Slots, marked: list[str]) -> None:
        self.slots = slots
        self.metrics = metrics
        self._names = series.metrics
        self._labels = marked
        self._written: dict[str, tuple[str, ...]] = {}

    def names(self, suffix: str) -> tuple[str, ...]:
        """The name of each series, with something behind that of the metric."""
        found = self._written.get(suffix)
        if found is None:
            pairs = zip(self._names, self._labels, strict=True)
            found = self._written[suffix] = tuple([f"{name}{suffix}{labels}" for name, labels in pairs])
        return found


class SeriesStates:
    """What is known of the series of one instance.

    Args:
        room: for series; those beyond are not remembered.
    """

    def __init__(self, room: Room) -> None:
        self.newest_us = 0
        """When a point was last remembered, as the sender's clock says it."""
        self._room = room
        self._slots: dict[tuple[str, str, str], int] = {}
        self._metrics: dict[tuple[str, str], int] = {}
        self._scopes: dict[tuple[str, str], str] = {}
        self._columns: dict[tuple[tuple[str, ...], ...], SeriesColumn] = {}
        self._points = np.full(_LEAST, _NO_POINT)
        self._exports = np.full(_LEAST, _NO_EXPORT)
        self._buckets: dict[int, tuple[tuple[float, ...], Float64]] = {}
        self._exponential: dict[int, Buckets] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def column(self, series: CodedSeries) -> SeriesColumn:
        """The series of some rows, remembered from now on; a sender mostly sends the same ones."""
        key = (series.metrics, series.labels, series.scopes)
        found = self._columns.get(key)
        if found is None:
            if len(self._columns) >= _KEPT_COLUMNS:
                self._columns.clear()
            found = self._columns[key] = self._new_column(series)
        return found

    def steps(self, now: Now, slots: Slots, metrics: Slots, watched_from_us: int) -> Steps:
        """How points follow from what is known of their series and metrics."""
        points, exports = self._points[slots], self._exports[metrics]
        newer = now.time_us > exports["newest_us"]
        before = Before(
            time_us=points["time_us"],
            start_us=points["start_us"],
            value=points["value"],
            export_us=np.where(newer, exports["newest_us"], exports["before_us"]),
        )
        if newer.any():
            exports["before_us"] = before.export_us
            exports["newest_us"] = np.where(newer, now.time_us, exports["newest_us"])
            self._exports[metrics[newer]] = exports[newer]
            self._exports[_UNTRACKED] = _NO_EXPORT
        return steps(now, before, watched_from_us)

    def added(self, slots: Slots, value: Float64, step: Steps) -> Float64:
        """What values grew by."""
        return value - np.where(step.goes_on, self._points["value"][slots], 0.0)

    def total_added(self, slots: Slots, total: Float64, step: Steps) -> Float64:
        """What sums of observations grew by."""
        return total - np.where(step.goes_on, self._points["total"][slots], 0.0)

    def remember(self, now: Now, slots: Slots, step: Steps) -> Slots:
        """Keeps the points that are newer than what was known; their places among the rows."""
        newest = step.is_newest.nonzero()[0]
        slots = slots[newest]
        self._points["time_us"][slots] = now.time_us[newest]
        self._points["start_us"][slots] = now.start_us[newest]
        self._points["value"][slots] = now.value[newest]
        # Whatever has no room has no past either.
        self._points[_UNTRACKED] = _NO_POINT
        return newest

    def has_fallen(self, rows: DistributionRows, slots: Slots) -> NDArray[np.bool_]:
        """Whether a bucket holds less than at the point before, shape (rows,)."""
        if rows.bounds:
            nothing = ((), np.zeros(0))
            known = [self._buckets.get(slot, nothing) for slot in slots.tolist()]
            fell = [
                bounds == rows.bounds and bool((now < before).any())
                for now, (bounds, before) in zip(rows.buckets, known, strict=True)
            ]
        else:
            fell = [
                slot in self._exponential and now.is_below(self._exponential[slot])
                for now, slot in zip(rows.exponential, slots.tolist(), strict=False)
            ]
        return np.array(fell or [False] * rows.count, np.bool_)

    def quantiles(
        self, rows: DistributionRows, slots: Slots, step: Steps, shares: tuple[float, ...]
    ) -> Float64 | None:
        """Of what came since the point before, shape (rows, shares); None where there are no buckets."""
        if rows.bounds:
            nothing = np.zeros(len(rows.bounds) + 1)
            known = [self._buckets.get(slot, ((), nothing)) for slot in slots.tolist()]
            fits = np.array([bounds == rows.bounds for bounds, _ in known])
            before = np.array([each if ok else nothing for (_, each), ok in zip(known, fits, strict=True)])
            since = rows.buckets - np.where(step.goes_on[:, np.newaxis], before, 0.0)
            found = bucket_quantiles(rows.bounds, since, shares)
            return np.where((step.goes_on & ~fits)[:, np.newaxis], np.nan, found)
        if rows.exponential:
            continued = zip(rows.exponential, slots.tolist(), step.goes_on.tolist(), strict=True)
            added = [
                now.minus(self._exponential[slot]) if goes_on and slot in self._exponential else now
                for now, slot, goes_on in continued
            ]
            return np.array([buckets.quantiles(shares) for buckets in added])
        return None

    def remember_distribution(self, rows: DistributionRows, slots: Slots, newest: Slots) -> None:
        """Keeps what only points of distributions have."""
        self._points["total"][slots[newest]] = rows.total[newest]
        for at, slot in zip(newest.tolist(), slots[newest].tolist(), strict=True):
            if slot == _UNTRACKED:
                continue
            if rows.bounds:
                self._buckets[slot] = (rows.bounds, rows.buckets[at])
            elif rows.exponential:
                self._exponential[slot] = rows.exponential[at]

    def _new_column(self, series: CodedSeries) -> SeriesColumn:
        slots, metrics, marked = [], [], []
        for name, labels, scope in zip(series.metrics, series.labels, series.scopes, strict=True):
            slot = self._slot((name, labels, scope))
            slots.append(slot)
            if slot == _UNTRACKED:
                metrics.append(_UNTRACKED)
                marked.append(labels)
                continue
            metrics.append(self._metrics.setdefault((name, scope), len(self._metrics) + 1))
            first = self._scopes.setdefault((name, labels), scope)
            marked.append(labels if first == scope else _with_scope(labels, scope))
        self._points = _grown(self._points, len(self._slots) + 1, _NO_POINT)
        self._exports = _grown(self._exports, len(self._metrics) + 1, _NO_EXPORT)
        return SeriesColumn(series, np.array(slots, np.intp), np.array(metrics, np.intp), marked)

    def _slot(self, series: tuple[str, str, str]) -> int:
        slot = self._slots.get(series)
        if slot is None:
            if self._room.left <= 0:
                return _UNTRACKED
            self._room.left -= 1
            slot = self._slots[series] = len(self._slots) + 1
        return slot


def _grown(column: NDArray[np.void], least: int, empty: NDArray[np.void]) -> NDArray[np.void]:
    more = least - len(column)
    return column if more <= 0 else np.append(column, np.full(more + len(column), empty))


def _with_scope(labels: str, scope: str) -> str:
    written = f"otel.scope.name={quoted(scope)}"
    return f"{{{written}}}" if not labels else f"{labels[:-1]},{written}}}"
