"""Features of a window: what the telemetry of one service looked like in it, as names and numbers.

====================================  ==================================================================
``metric/<name>/count min max mean``  points of a level, over all instances
``metric/<name>/last age_s``          value of the newest point, and seconds from then to the window's end
``metric/<name>/slope``               least-squares slope per second; NaN where time does not vary
``metric/<name>.rate/count min max``  points of a rate, over all instances, as of a level
``metric/<name>.rate/sum``            the rates of all instances together, each over the time of its points
``metric/<name>.rate/last age_s``     the newest rates of all instances together, and their age
``metric/<name>/count last age_s``    of a series that comes less than once in a window: how many points came,
                                      and its last value and age, as above
``log/severity/<level>``              lines of a severity: trace debug info warn error fatal unknown
``log/template/<template>``           lines of a message template; `<other>`: of those without a name
``request/<endpoint>/...``            served requests (SERVER spans): ``count``, ``error_share``,
                                      ``p50_ms``, ``p90_ms``, ``p99_ms``; endpoint ``*`` is all of them,
                                      ``*rpc`` those by a protocol other than HTTP
``call/<peer>/...``                   calls made (CLIENT and PRODUCER spans) by called service, database or
                                      queue, likewise; also ``*rpc``, ``*messaging``, ``*database``
``consume/<queue>/...``               messages processed (CONSUMER spans) by queue, likewise
``internal/<name>/...``               inner steps (INTERNAL spans) by name, likewise
====================================  ==================================================================

What a service is known for and did not show in a window, `microservo.domain.silence` adds.
Rates add up over instances, levels do not. Whatever grows for ever is there as a rate only (`.rate`; see the
collector's `rates`). Of a histogram, observations are a rate, and mean and quantiles of each interval levels.
Quantiles of spans are nearest-rank: a value that was measured, never one in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microservo.domain.dictionary import Dictionary, Numbers
from microservo.domain.ordering import order_by
from microservo.domain.telemetry import (
    CLIENT_SPAN,
    CONSUMER_SPAN,
    HTTP,
    INTERNAL_SPAN,
    PRODUCER_SPAN,
    PROTOCOLS,
    SERVER_SPAN,
    Float64,
    Signal,
)
from microservo.domain.window_rows import MetricRows, SpanRows, WindowRows, Windows

Features = dict[str, float]

_LEVEL, _RATE, _OLD = range(3)
"""What a group of points is of; as old ones count all of a series that comes seldom."""
LEVEL_STATISTICS = ("/count", "/min", "/max", "/mean", "/last", "/slope", "/age_s")
RATE_STATISTICS = ("/count", "/min", "/max", "/sum", "/last", "/age_s")
_STATISTICS = (LEVEL_STATISTICS, RATE_STATISTICS, ("/count", "/last", "/age_s"))
SPAN_STATISTICS = ("/count", "/error_share", "/p50_ms", "/p90_ms", "/p99_ms")
_SIGNAL_OF: dict[str, Signal] = {
    "call": "traces",
    "consume": "traces",
    "internal": "traces",
    "log": "logs",
    "metric": "metrics",
    "request": "traces",
}
_SHARES = np.array([[0.50], [0.90], [0.99]])
LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "unknown")
# OpenTelemetry severity numbers come in ranges of four: 1-4 trace, 5-8 debug, ... 21-24 fatal.
LEVEL_OF = np.array([(number - 1) // 4 if 1 <= number <= 24 else 6 for number in range(256)])
_ALL = "*"
# A message that is sent is a call like any other, and a span of no kind is an inner step.
_COUNTED_AS = np.array(
    [{0: INTERNAL_SPAN, PRODUCER_SPAN: CLIENT_SPAN}.get(kind, kind) for kind in range(256)], np.int64
)
# Spans of these kinds are told apart by their endpoint, the others by their peer.
_BY_ENDPOINT = np.isin(np.arange(256), (0, INTERNAL_SPAN, SERVER_SPAN))
# Groups have a key of two parts: kind, and number of a text or what no text's number can be: all of the kind,
# or, counted down from there, all of a protocol.
_KIND_SHIFT = 32
_GROUP_MASK = (1 << _KIND_SHIFT) - 1
_ALL_NUMBER = -1
_ALL_GROUP = _ALL_NUMBER & _GROUP_MASK
_KEPT_LAYOUTS = 256


class _Layout(NamedTuple):
    """Names of the features of some groups in their order, and the place of each among their numbers."""

    names: tuple[str, ...]
    places: NDArray[np.intp]


class _Family(NamedTuple):
    """Features whose names begin alike.

    Attributes:
        name: how they begin.
        statistics: how those of a group end, by its key.
        text: what stands between for a group; None for one that is not of this family.
    """

    name: str
    statistics: Callable[[int], tuple[str, ...]]
    text: Callable[[int], str | None]


class _Groups(NamedTuple):
    """Numbers of groups of rows, ordered by window.

    Attributes:
        windows: window of each group.
        keys: what each group is of.
        numbers: shape (statistics, groups).
    """

    windows: Windows
    keys: NDArray[Any]
    numbers: NDArray[Any]


class FeatureMaker:
    """Renders windows. Windows of a service mostly have the same features, so names are kept.

    Args:
        dictionary: the one that rows are numbered with.
        size_us: length of a window.
    """

    def __init__(self, dictionary: Dictionary, size_us: int) -> None:
        self._dictionary = dictionary
        self._size_us = size_us
        self._layouts: dict[tuple[str, bytes], _Layout] = {}
        self._levels = _Family("log/severity", _count_alone, LEVELS.__getitem__)
        self._templates = _Family("log/template", _count_alone, dictionary.text)
        self._metrics = _Family("metric", _statistics_of, lambda key: dictionary.text(key & _GROUP_MASK))
        self._spans = {
            kind: _Family(name, _latencies_of, self._span_text)
            for kind, name in {
                CLIENT_SPAN: "call",
                CONSUMER_SPAN: "consume",
                INTERNAL_SPAN: "internal",
                SERVER_SPAN: "request",
            }.items()
        }

    def features(self, rows: WindowRows, start_us: int) -> list[Features]:
        """The features of each window, sorted by name.

        Args:
            rows: the distinct rows of the windows.
            start_us: start of all of them.
        """
        parts: list[list[tuple[_Layout, NDArray[Any]]]] = [[] for _ in range(rows.windows)]
        for family, groups in self._families(rows, start_us):
            edges = np.searchsorted(groups.windows, np.arange(rows.windows + 1)).tolist()
            for part, (begin, end) in zip(parts, itertools.pairwise(edges), strict=True):
                if begin < end:
                    layout = self._layout(family, groups.keys[begin:end])
                    part.append((layout, groups.numbers[:, begin:end].ravel()[layout.places]))
        return [_joined(part) for part in parts]

    def _families(self, rows: WindowRows, start_us: int) -> Iterator[tuple[_Family, _Groups]]:
        """In the order of how their names begin."""
        spans = {} if rows.traces is None else _by_kind(_latencies(rows.traces))
        for kind in (CLIENT_SPAN, CONSUMER_SPAN, INTERNAL_SPAN):
            if kind in spans:
                yield self._spans[kind], spans[kind]
        if rows.logs is not None:
            yield self._levels, _counts(rows.logs.window, LEVEL_OF[rows.logs.severity])
            yield self._templates, _counts(rows.logs.window, rows.logs.template)
        if rows.metrics is not None:
            yield self._metrics, _metrics(rows.metrics, start_us, self._size_us, self._dictionary)
        if SERVER_SPAN in spans:
            yield self._spans[SERVER_SPAN], spans[SERVER_SPAN]

    def _span_text(self, key: int) -> str | None:
        number = key & _GROUP_MASK
        protocol = _ALL_GROUP - number
        if protocol < len(PROTOCOLS):
            return _ALL + PROTOCOLS[protocol]
        # A span without a peer or endpoint counts among all only.
        return self._dictionary.text(number) or None

    def _layout(self, family: _Family, keys: NDArray[Any]) -> _Layout:
        key = (family.name, keys.tobytes())
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _KEPT_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = _layout_of(family, keys.tolist())
        return layout


def _joined(parts: Sequence[tuple[_Layout, NDArray[Any]]]) -> Features:
    if not parts:
        return {}
    names = itertools.chain.from_iterable(layout.names for layout, _ in parts)
    values = np.concatenate([numbers for _, numbers in parts], dtype=np.float64)
    return dict(zip(names, values.tolist(), strict=True))


def signal_of_feature(name: str) -> Signal:
    """The signal whose records alone a feature of what came depends on."""
    return _SIGNAL_OF[name.partition("/")[0]]


def same_features(one: Features, other: Features) -> bool:
    """Whether two windows have the same features; undefined numbers are the same, zeros of two signs not."""
    if one is other:
        return True
    return one.keys() == other.keys() and _comparable(one) == _comparable(other)


def _comparable(features: Features) -> bytes:
    values = np.fromiter(features.values(), np.float64, len(features))
    values[np.isnan(values)] = np.nan
    return values.tobytes()


def _layout_of(family: _Family, keys: Sequence[int]) -> _Layout:
    """The layout of numbers that come statistic by statistic, each for every group."""
    places = {
        f"{family.name}/{text}{statistic}": row * len(keys) + column
        for column, key in enumerate(keys)
        if (text := family.text(key)) is not None
        for row, statistic in enumerate(family.statistics(key))
    }
    names = tuple(sorted(places))
    return _Layout(names, np.array([places[name] for name in names], np.intp))


def _count_alone(_: int) -> tuple[str, ...]:
    return ("",)


def _latencies_of(_: int) -> tuple[str, ...]:
    return SPAN_STATISTICS


def _statistics_of(key: int) -> tuple[str, ...]:
    return _STATISTICS[key >> _KIND_SHIFT]


def _metrics(rows: MetricRows, start_us: int, size_us: int, dictionary: Dictionary) -> _Groups:
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
        key = rows.window << _KIND_SHIFT | rows.name
        seldom = rows.at(np.isin(key, key[is_old]))
        parts.append(_old_statistics(seldom, end_us, dictionary))
    return _merged(parts)


def _merged(parts: Sequence[_Groups]) -> _Groups:
    """All groups by window, with as many numbers as the largest has."""
    if len(parts) == 1:
        return parts[0]
    windows = np.concatenate([part.windows for part in parts])
    order = np.argsort(windows, kind="stable")
    height = max(len(part.numbers) for part in parts)
    padded = [np.pad(part.numbers, ((0, height - len(part.numbers)), (0, 0))) for part in parts]
    keys = np.concatenate([part.keys for part in parts])
    return _Groups(windows[order], keys[order], np.concatenate(padded, axis=1)[:, order])


def _level_statistics(rows: MetricRows, start_us: int, end_us: int) -> _Groups:
    value, starts = rows.value, _group_starts(rows.window, rows.name)
    counts = _lengths(starts, len(value))
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


def _rate_statistics(rows: MetricRows, end_us: int, dictionary: Dictionary) -> _Groups:
    rank = dictionary.ranks(rows.instance)
    # What is added up is put in an order that every process has. It is stable, so that time is the next key.
    rows, rank = _ordered(rows, rank)
    starts = _group_starts(rows.window, rows.name)
    counts = _lengths(starts, len(rank))
    each = _group_starts(rows.window, rows.name, rank)
    seconds = rows.interval_us / 1e6
    mean = np.add.reduceat(rows.value * seconds, each) / np.add.reduceat(seconds, each)
    last = rows.value[each + _lengths(each, len(rank)) - 1]
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


def _old_statistics(rows: MetricRows, end_us: int, dictionary: Dictionary) -> _Groups:
    """Of series that come seldom: of levels the newest value, of rates that of each instance together."""
    measured_us = rows.time_us - rows.age_us
    rows = rows.at(np.lexsort((measured_us, rows.name, rows.window)))
    rows, rank = _ordered(rows, dictionary.ranks(rows.instance))
    measured_us = rows.time_us - rows.age_us
    starts = _group_starts(rows.window, rows.name)
    newest_us = np.maximum.reduceat(measured_us, starts)
    each = _group_starts(rows.window, rows.name, rank)
    ends = each + _lengths(each, len(rank)) - 1
    of_group = np.searchsorted(each, starts)
    # Of the instances with the newest level, that of the last by name.
    group = np.repeat(np.arange(len(starts)), _lengths(of_group, len(each)))
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


def _groups(kind: int, rows: MetricRows, starts: NDArray[np.intp], numbers: NDArray[Any]) -> _Groups:
    names = rows.name[starts].astype(np.int64)
    return _Groups(rows.window[starts], kind << _KIND_SHIFT | names, numbers)


def _slopes(
    seconds: Float64, value: Float64, mean: Float64, starts: NDArray[np.intp], counts: NDArray[np.intp]
) -> Float64:
    """Least-squares slope of each group, about the group's means so that large values lose no digits."""
    t = seconds - np.repeat(np.add.reduceat(seconds, starts) / counts, counts)
    v = value - np.repeat(mean, counts)
    spread = np.add.reduceat(t * t, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, np.add.reduceat(t * v, starts) / spread, np.nan)


def _latencies(rows: SpanRows) -> _Groups:
    """Of the spans of each kind and endpoint or peer, of all of each kind, and of those of each protocol.

    Groups of one kind follow one another.
    """
    kind = _COUNTED_AS[rows.kind]
    number = np.where(_BY_ENDPOINT[rows.kind], rows.endpoint, rows.peer)
    # Every span is there twice: once in the group of all; and once more where it is by another protocol than
    # the usual one, which needs no group of its own. Small numbers for these, too: they are sorted by.
    other = np.flatnonzero(rows.protocol > HTTP)
    of_protocol = _ALL_NUMBER - rows.protocol[other].astype(number.dtype)
    number = np.concatenate((np.full_like(number, _ALL_NUMBER), number, of_protocol))
    kind = np.concatenate((kind, kind, kind[other]))
    window = np.concatenate((rows.window, rows.window, rows.window[other]))
    duration_us = np.concatenate((rows.duration_us, rows.duration_us, rows.duration_us[other]))
    failed = (np.concatenate((rows.error, rows.error, rows.error[other])) != 0).astype(np.int64)
    order = order_by(duration_us, number, window, kind)
    window, kind, number = window[order], kind[order], number[order]
    duration_us, failed = duration_us[order], failed[order]
    starts = _group_starts(kind, window, number)
    counts = _lengths(starts, len(order))
    failures = np.add.reduceat(failed, starts)
    ranks = np.ceil(_SHARES * counts).astype(np.intp) - 1
    quantiles_ms = duration_us[starts + ranks] / 1000
    key = kind[starts] << _KIND_SHIFT | number[starts] & np.int64(_GROUP_MASK)
    return _Groups(window[starts], key, np.vstack((counts, failures / counts, quantiles_ms)))


def _by_kind(groups: _Groups) -> dict[int, _Groups]:
    """The groups of spans by their kind, of those kinds that are there."""
    kinds = groups.keys >> _KIND_SHIFT
    starts = _group_starts(kinds)
    edges = itertools.pairwise([*starts.tolist(), len(kinds)])
    return {
        kind: _Groups(groups.windows[begin:end], groups.keys[begin:end], groups.numbers[:, begin:end])
        for kind, (begin, end) in zip(kinds[starts].tolist(), edges, strict=True)
    }


def _counts(window: Windows, key: NDArray[Any]) -> _Groups:
    """How often each key is there."""
    order = order_by(key, window)
    window, key = window[order], key[order]
    starts = _group_starts(window, key)
    return _Groups(window[starts], key[starts], _lengths(starts, len(key))[np.newaxis])


def _group_starts(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Positions at which one of some sorted columns takes a new value, the first included."""
    changes = np.zeros(len(columns[0]), np.bool_)
    changes[0] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return changes.nonzero()[0]


def _lengths(starts: NDArray[np.intp], end: int) -> NDArray[np.intp]:
    """How long the groups are that begin at `starts` and fill up to `end`."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = end - starts[-1]
    return lengths
