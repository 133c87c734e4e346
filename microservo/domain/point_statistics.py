"""What the metric points of a window come to, series by series: levels, rates, and what comes seldom."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.domain.dictionary import Dictionary, Numbers
from microservo.domain.ordering import order_by
from microservo.domain.row_groups import KIND_SHIFT, Groups, group_starts, lengths, merged
from microservo.domain.telemetry import Float64
from microservo.domain.window_rows import MetricRows

_LEVEL, _RATE, _OLD = range(3)
"""What a group of points is of; as old ones count all of a series that comes seldom."""
LEVEL_STATISTICS = ("/count", "/min", "/max", "/mean", "/last", "/slope", "/age_s")
RATE_STATISTICS = ("/count", "/min", "/max", "/sum", "/last", "/age_s")
_STATISTICS = (LEVEL_STATISTICS, RATE_STATISTICS, ("/count", "/last", "/age_s"))


def point_groups(rows: MetricRows, start_us: int, size_us: int, dictionary: Dictionary) -> Groups:
    """Of each metric. Most windows have levels only, as they came."""
    is_old, is_rate = rows.age_us > 0, rows.interval_us > 0
    has_old, end_us = is_old.any(), start_us + size_us
    if not has_old and not is_rate.any():
        return _level_statistics(rows, start_us, end_us)
    parts = []
    for some, statistics in (
        (~is_old & ~is_rate, partial(_level_statistics, start_us=start_us, end_us=end_us)),
        (~is_old & is_rate, partial(_rate_statistics, end_us=end_us, dictionary=dictionary)),
    ):
        if some.any():
            parts.append(statistics(rows.at(some)))
    if has_old:
        key = rows.window << KIND_SHIFT | rows.name
        seldom = rows.at(np.isin(key, key[is_old]))
        parts.append(_old_statistics(seldom, end_us, dictionary))
    return merged(parts)


def _level_statistics(rows: MetricRows, start_us: int, end_us: int) -> Groups:
    value, starts = rows.value, group_starts(rows.window, rows.name)
    counts = lengths(starts, len(value))
    last = starts + counts - 1
    mean = np.add.reduceat(value, starts) / counts
    seconds = (rows.time_us - start_us) / 1e6
    numbers = (
        counts,
        np.minimum.reduceat(value, starts),
        np.maximum.reduceat(value, starts),
        mean,
        value[last],
        _slopes(seconds, value, mean, starts, counts),
        (end_us - rows.time_us[last]) / 1e6,
    )
    return _groups(_LEVEL, rows, starts, np.stack(numbers))


def _rate_statistics(rows: MetricRows, end_us: int, dictionary: Dictionary) -> Groups:
    rank = dictionary.ranks(rows.instance)
    # What is added up is put in an order that every process has. It is stable, so that time is the next key.
    rows, rank = _ordered(rows, rank)
    starts = group_starts(rows.window, rows.name)
    counts = lengths(starts, len(rank))
    each = group_starts(rows.window, rows.name, rank)
    seconds = rows.interval_us / 1e6
    mean = np.add.reduceat(rows.value * seconds, each) / np.add.reduceat(seconds, each)
    last = rows.value[each + lengths(each, len(rank)) - 1]
    of_group = np.searchsorted(each, starts)
    numbers = (
        counts,
        np.minimum.reduceat(rows.value, starts),
        np.maximum.reduceat(rows.value, starts),
        np.add.reduceat(mean, of_group),
        np.add.reduceat(last, of_group),
        (end_us - np.maximum.reduceat(rows.time_us, starts)) / 1e6,
    )
    return _groups(_RATE, rows, starts, np.stack(numbers))


def _old_statistics(rows: MetricRows, end_us: int, dictionary: Dictionary) -> Groups:
    """Of series that come seldom: of levels the newest value, of rates that of each instance together."""
    measured_us = rows.time_us - rows.age_us
    rows = rows.at(np.lexsort((measured_us, rows.name, rows.window)))
    rows, rank = _ordered(rows, dictionary.ranks(rows.instance))
    measured_us = rows.time_us - rows.age_us
    starts = group_starts(rows.window, rows.name)
    newest_us = np.maximum.reduceat(measured_us, starts)
    each = group_starts(rows.window, rows.name, rank)
    ends = each + lengths(each, len(rank)) - 1
    of_group = np.searchsorted(each, starts)
    # Of the instances with the newest level, that of the last by name.
    group = np.repeat(np.arange(len(starts)), lengths(of_group, len(each)))
    is_newest = measured_us[ends] == newest_us[group]
    level = np.empty(len(starts))
    level[group[is_newest]] = rows.value[ends][is_newest]
    last = np.where(rows.interval_us[starts] > 0, np.add.reduceat(rows.value[ends], of_group), level)
    counts = np.add.reduceat(rows.age_us == 0, starts, dtype=np.intp)
    return _groups(_OLD, rows, starts, np.stack((counts, last, (end_us - newest_us) / 1e6)))


def _ordered(rows: MetricRows, rank: Numbers) -> tuple[MetricRows, Numbers]:
    """Rows by window, name and instance, otherwise as they were."""
    order = order_by(rank, rows.name, rows.window)
    return rows.at(order), rank[order]


def _groups(kind: int, rows: MetricRows, starts: NDArray[np.intp], numbers: NDArray[Any]) -> Groups:
    names = rows.name[starts].astype(np.int64)
    return Groups(rows.window[starts], kind << KIND_SHIFT | names, numbers)


def _slopes(
    seconds: Float64, value: Float64, mean: Float64, starts: NDArray[np.intp], counts: NDArray[np.intp]
) -> Float64:
    """Least-squares slope of each group, about the group's means so that large values lose no digits."""
    t = seconds - np.repeat(np.add.reduceat(seconds, starts) / counts, counts)
    v = value - np.repeat(mean, counts)
    spread = np.add.reduceat(t * t, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, np.add.reduceat(t * v, starts) / spread, np.nan)


def statistics_of(key: int) -> tuple[str, ...]:
    """How the features of a group end, in the order of its numbers."""
    return _STATISTICS[key >> KIND_SHIFT]
