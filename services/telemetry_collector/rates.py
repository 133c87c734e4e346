"""Points of counters and distributions into what they say of an interval: rates, means, quantiles.

==========================  ================================================================================
gauge, sum that may fall    ``<metric>`` as it is
sum that only grows         ``<metric>.rate``: what was added a second, since the point before
delta of any sum            ``<metric>.rate``: the same, over the interval that the point states
histogram of either kind    ``<metric>.rate``: observations a second; ``.mean``, ``.p50``, ``.p90``, ``.p99``
summary                     ``<metric>.rate``, ``.mean``, and the quantiles that it states: ``.p<percent>``
==========================  ================================================================================

Attributes follow as `{key=value}`. Two scopes of one instance that give the same series stay apart: the later
one has its scope among the attributes, `{otel.scope.name=...}`.

What was counted since the start of a process is not passed on: it would tell the time. The first point of a
series that began before it was watched says nothing, neither does one that is older than the one before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from microservo.domain.increments import Now, Steps
from microservo.domain.rows import LEVEL, Coded, DistributionRows, MetricRows, PointRows, Sent
from microservo.domain.telemetry import Float64
from services.telemetry_collector.series_states import Room, SeriesColumn, SeriesStates

_SHARES = (0.5, 0.9, 0.99)
_SERIES = 200_000
"""Remembered at once; points of further ones say nothing until some are forgotten."""
_TURNS = 100
"""Points of one series in one body that are taken one after another; SDKs send one."""
_FORGOTTEN_US = 3_600_000_000
"""A sender that was silent for so long is forgotten."""
AnySent = TypeVar("AnySent", PointRows, DistributionRows)


class Rates:
    """Knows the newest point of every series; for one thread.

    Args:
        watched_from_us: since when points come in; a series that starts later was seen from its beginning.
        series: how many are remembered.
    """

    def __init__(self, watched_from_us: int, series: int = _SERIES) -> None:
        self._watched_from_us = watched_from_us
        self._room = Room(series)
        self._senders: dict[tuple[str, str], SeriesStates] = {}
        self._newest_us = 0

    def of(self, rows: Sent) -> Iterator[MetricRows]:
        """What goes on of some points."""
        sender = self._sender(rows)
        column = sender.column(rows.series)
        if isinstance(rows, DistributionRows):
            for part in _in_turn(rows, column):
                yield from self._of_distributions(part, sender, column)
            return
        is_level = rows.temporality == LEVEL
        if is_level.any():
            levels = rows if is_level.all() else rows.at(np.flatnonzero(is_level))
            yield _metric_rows(levels, Coded(names=column.names(""), codes=levels.series.codes), levels.value)
        if not is_level.all():
            sums = rows.at(np.flatnonzero(~is_level)) if is_level.any() else rows
            for points in _in_turn(sums, column):
                yield from self._of_sums(points, sender, column)

    def _of_sums(self, rows: PointRows, sender: SeriesStates, column: SeriesColumn) -> Iterator[MetricRows]:
        slots, metrics = column.slots[rows.series.codes], column.metrics[rows.series.codes]
        now = Now(
            time_us=rows.time_us, start_us=rows.start_us, value=rows.value, temporality=rows.temporality
        )
        step = sender.steps(now, slots, metrics, self._watched_from_us)
        added = sender.added(slots, rows.value, step)
        sender.remember(now, slots, step)
        yield from _rates(rows, column, added, step)

    def _of_distributions(
        self, rows: DistributionRows, sender: SeriesStates, column: SeriesColumn
    ) -> Iterator[MetricRows]:
        slots, metrics = column.slots[rows.series.codes], column.metrics[rows.series.codes]
        now = Now(
            time_us=rows.time_us,
            start_us=rows.start_us,
            value=rows.observations,
            temporality=np.full(rows.count, rows.temporality, np.uint8),
            # A process that starts anew, and is busier than the one before, has more observations at once.
            has_fallen=sender.has_fallen(rows, slots),
        )
        step = sender.steps(now, slots, metrics, self._watched_from_us)
        added = sender.added(slots, rows.observations, step)
        total = sender.total_added(slots, rows.total, step)
        quantiles = sender.quantiles(rows, slots, step, _SHARES)
        newest = sender.remember(now, slots, step)
        sender.remember_distribution(rows, slots, newest)
        yield from _rates(rows, column, added, step)
        some = step.is_known & (added > 0)
        levels = {".mean": np.where(some, total / np.where(some, added, 1.0), np.nan)}
        if quantiles is not None:
            for share, value in zip(_SHARES, quantiles.T, strict=True):
                levels[_percent(share)] = np.where(some, value, np.nan)
        yield from _levels(rows, column, levels | _stated(rows.quantiles))

    def _sender(self, rows: Sent) -> SeriesStates:
        self._newest_us = max(self._newest_us, int(rows.time_us.max()))
        key = (rows.service, rows.instance)
        sender = self._senders.get(key)
        if sender is None:
            self._forget_idle()
            sender = self._senders[key] = SeriesStates(self._room)
        sender.newest_us = self._newest_us
        return sender

    def _forget_idle(self) -> None:
        oldest_us = self._newest_us - _FORGOTTEN_US
        idle = [key for key, sender in self._senders.items() if sender.newest_us < oldest_us]
        for key in idle:
            self._room.left += len(self._senders.pop(key))


def _in_turn(rows: AnySent, column: SeriesColumn) -> Iterator[AnySent]:
    """The rows, such that each series has one at a time, the older first; of one series the newest 100."""
    slots = column.slots[rows.series.codes]
    order = np.lexsort((rows.time_us, slots))
    repeats = np.concatenate(([False], slots[order][1:] == slots[order][:-1]))
    if not repeats.any():
        yield rows
        return
    # How many rows of the same series are still to come behind each row.
    ends = np.flatnonzero(np.append(~repeats[1:], True))
    left = ends[np.searchsorted(ends, np.arange(len(slots)))] - np.arange(len(slots))
    for number in range(min(int(left.max()), _TURNS - 1), -1, -1):
        yield rows.at(order[left == number])


def _rates(rows: Sent, column: SeriesColumn, added: Float64, step: Steps) -> Iterator[MetricRows]:
    known = step.is_known
    if not known.any():
        return
    codes, interval_us = rows.series.codes, step.interval_us
    time_us = rows.time_us
    if not known.all():
        codes, interval_us, added, time_us = codes[known], interval_us[known], added[known], time_us[known]
    name = Coded(names=column.names(".rate"), codes=codes)
    yield replace(
        _metric_rows(rows, name, added / (interval_us / 1e6)), time_us=time_us, interval_us=interval_us
    )


def _levels(rows: Sent, column: SeriesColumn, levels: dict[str, Float64]) -> Iterator[MetricRows]:
    """Rows of what is known of some columns of values, NaN where it is not."""
    values = np.stack(list(levels.values()))
    row, at = np.nonzero(np.isfinite(values))
    if len(row):
        names = tuple(itertools.chain.from_iterable(column.names(suffix) for suffix in levels))
        codes = row * len(column.slots) + rows.series.codes[at]
        yield replace(
            _metric_rows(rows, Coded(names=names, codes=codes), values[row, at]), time_us=rows.time_us[at]
        )


def _stated(quantiles: Sequence[tuple[tuple[float, float], ...]]) -> dict[str, Float64]:
    """The quantiles that summaries state, a column for each share."""
    found: dict[str, Float64] = {}
    for at, row in enumerate(quantiles):
        for share, value in row:
            found.setdefault(_percent(share), np.full(len(quantiles), np.nan))[at] = value
    return found


def _percent(share: float) -> str:
    return f".p{100 * share:g}"


def _metric_rows(rows: Sent, name: Coded, value: Float64) -> MetricRows:
    return MetricRows(
        service=rows.service,
        instance=rows.instance,
        identity=rows.identity,
        scopes=rows.scopes,
        time_us=rows.time_us,
        name=name,
        value=value,
    )
