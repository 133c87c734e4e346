"""Features of a window: what the telemetry of one service looked like in it, as names and numbers.

====================================  ==================================================================
``metric/<name>/count min max mean``  points of a metric, over all instances
``metric/<name>/last``                value of the newest point
``metric/<name>/slope``               least-squares slope per second; NaN where time does not vary
``log/severity/<level>``              lines of a severity: trace debug info warn error fatal unknown
``log/template/<template>``           lines of a message template
``request/<endpoint>/...``            served requests (SERVER spans): ``count``, ``error_share``,
                                      ``p50_ms``, ``p90_ms``, ``p99_ms``; endpoint ``*`` is all of them
``call/<service>/...``                calls made (CLIENT and PRODUCER spans) by called service, likewise
====================================  ==================================================================

What a service is known for and did not show in a window, `microservo.domain.silence` adds.
Quantiles are nearest-rank: a value that was measured, never one in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microservo.domain.dictionary import Dictionary
from microservo.domain.ordering import order_by
from microservo.domain.telemetry import CLIENT_SPAN, PRODUCER_SPAN, SERVER_SPAN, Float64
from microservo.domain.window_rows import MetricRows, SpanRows, WindowRows, Windows

Features = dict[str, float]

_STATISTICS = ("/count", "/min", "/max", "/mean", "/last", "/slope")
_LATENCIES = ("/count", "/error_share", "/p50_ms", "/p90_ms", "/p99_ms")
_SHARES = np.array([[0.50], [0.90], [0.99]])
_COUNT_ALONE = ("",)
LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "unknown")
# OpenTelemetry severity numbers come in ranges of four: 1-4 trace, 5-8 debug, ... 21-24 fatal.
LEVEL_OF = np.array([(number - 1) // 4 if 1 <= number <= 24 else 6 for number in range(256)])
_ALL = "*"
# A message that is sent is a call like any other.
_COUNTED_AS = np.array([CLIENT_SPAN if kind == PRODUCER_SPAN else kind for kind in range(256)], np.int64)
# Groups of spans have a key of two parts: kind, and number of a text or what no text's number can be.
_KIND_SHIFT = 32
_GROUP_MASK = (1 << _KIND_SHIFT) - 1
_ALL_GROUP = _GROUP_MASK
_KEPT_LAYOUTS = 256


class _Layout(NamedTuple):
    """Names of the features of some groups in their order, and the place of each among their numbers."""

    names: tuple[str, ...]
    places: NDArray[np.intp]


class _Family(NamedTuple):
    """Features whose names begin alike.

    Attributes:
        name: how they begin.
        statistics: how they end.
        text: what stands between for a group; None for one that is not of this family.
    """

    name: str
    statistics: tuple[str, ...]
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
    """

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._layouts: dict[tuple[str, bytes], _Layout] = {}
        self._calls = _Family("call", _LATENCIES, partial(self._span_text, CLIENT_SPAN))
        self._levels = _Family("log/severity", _COUNT_ALONE, LEVELS.__getitem__)
        self._templates = _Family("log/template", _COUNT_ALONE, dictionary.text)
        self._metrics = _Family("metric", _STATISTICS, dictionary.text)
        self._requests = _Family("request", _LATENCIES, partial(self._span_text, SERVER_SPAN))

    def features(self, rows: WindowRows, start_us: int) -> list[Features]:
        """The features of each window, sorted by name.

        Args:
            rows: the distinct rows of the windows.
            start_us: start of all of them; slopes are computed relative to it.
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
        spans = None if rows.traces is None else _latencies(rows.traces)
        if spans is not None:
            yield self._calls, spans
        if rows.logs is not None:
            yield self._levels, _counts(rows.logs.window, LEVEL_OF[rows.logs.severity])
            yield self._templates, _counts(rows.logs.window, rows.logs.template)
        if rows.metrics is not None:
            yield self._metrics, _statistics(rows.metrics, start_us)
        if spans is not None:
            yield self._requests, spans

    def _span_text(self, kind: int, key: int) -> str | None:
        if key >> _KIND_SHIFT != kind:
            return None
        number = key & _GROUP_MASK
        # A span without a peer or endpoint counts among all only.
        return _ALL if number == _ALL_GROUP else self._dictionary.text(number) or None

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
    texts = [family.text(key) for key in keys]
    places = {
        f"{family.name}/{text}{statistic}": row * len(keys) + column
        for row, statistic in enumerate(family.statistics)
        for column, text in enumerate(texts)
        if text is not None
    }
    names = tuple(sorted(places))
    return _Layout(names, np.array([places[name] for name in names], np.intp))


def _statistics(rows: MetricRows, start_us: int) -> _Groups:
    """Of each metric."""
    value, starts = rows.value, _group_starts(rows.window, rows.name)
    counts = _lengths(starts, len(value))
    mean = np.add.reduceat(value, starts) / counts
    seconds = (rows.time_us - start_us) / 1e6
    numbers = (
        counts,
        np.minimum.reduceat(value, starts),
        np.maximum.reduceat(value, starts),
        mean,
        value[starts + counts - 1],
        _slopes(seconds, value, mean, starts, counts),
    )
    return _Groups(rows.window[starts], rows.name[starts], np.stack(numbers))


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
    """Of the spans of each kind and endpoint (SERVER spans) or peer (others), and of all of each kind."""
    kind = _COUNTED_AS[rows.kind] << _KIND_SHIFT
    key = kind | np.where(rows.kind == SERVER_SPAN, rows.endpoint, rows.peer)
    # Every span is there twice: once in the group of all.
    key = np.concatenate((kind | _ALL_GROUP, key))
    window = np.concatenate((rows.window, rows.window))
    duration_us = np.concatenate((rows.duration_us, rows.duration_us))
    failed = np.concatenate((rows.error, rows.error)) != 0
    order = order_by(duration_us, key, window)
    window, key, duration_us, failed = window[order], key[order], duration_us[order], failed[order]
    starts = _group_starts(window, key)
    counts = _lengths(starts, len(key))
    failures = np.add.reduceat(failed, starts, dtype=np.intp)
    ranks = np.ceil(_SHARES * counts).astype(np.intp) - 1
    quantiles_ms = duration_us[starts + ranks] / 1000
    return _Groups(window[starts], key[starts], np.vstack((counts, failures / counts, quantiles_ms)))


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
