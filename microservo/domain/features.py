"""Features of a window: what the telemetry of one service looked like in it, as names and numbers.

====================================  ==================================================================
``metric/<name>/count min max mean``  points of a metric, over all instances
``metric/<name>/last``                value of the newest point
``metric/<name>/slope``               least-squares slope per second; NaN where time does not vary
``log/severity/<level>``              lines of a severity: trace debug info warn error fatal unknown
``log/template/<template>``           lines of a message template
``request/<endpoint>/...``            served requests (SERVER spans): ``count``, ``error_share``,
                                      ``p50_ms``, ``p90_ms``, ``p99_ms``; endpoint ``*`` is all of them
``call/<service>/...``                calls made (CLIENT spans) by called service, likewise
====================================  ==================================================================

Quantiles are nearest-rank: a value that was measured, never one in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microservo.domain.dictionary import Dictionary, Numbers
from microservo.domain.telemetry import CLIENT_SPAN, SERVER_SPAN, Float64, Int64, UInt8
from microservo.domain.window_rows import LogRows, MetricRows, SpanRows, WindowRows

Features = dict[str, float]

_STATISTICS = ("/count", "/min", "/max", "/mean", "/last", "/slope")
_LATENCIES = ("/count", "/error_share", "/p50_ms", "/p90_ms", "/p99_ms")
_SHARES = np.array([[0.50], [0.90], [0.99]])
_COUNT_ALONE = ("",)
_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "unknown")
# OpenTelemetry severity numbers come in ranges of four: 1-4 trace, 5-8 debug, ... 21-24 fatal.
_LEVEL_OF = np.array([(number - 1) // 4 if 1 <= number <= 24 else 6 for number in range(256)])
_ALL = "*"
_ALL_GROUP = -1
_KEPT_LAYOUTS = 256


class _Layout(NamedTuple):
    """Names of a family of features in their order, and the place of each among the numbers computed."""

    names: tuple[str, ...]
    places: NDArray[np.intp]


_Part = tuple[_Layout, NDArray[Any]]


class FeatureMaker:
    """Renders windows. Windows of a service mostly have the same features, so names are kept.

    Args:
        dictionary: the one that rows are numbered with.
    """

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._layouts: dict[tuple[str, bytes], _Layout] = {}

    def features(self, rows: WindowRows, start_us: int) -> Features:
        """The features of a window, sorted by name.

        Args:
            rows: the distinct rows of the window.
            start_us: start of the window; slopes are computed relative to it.
        """
        parts = list(self._parts(rows, start_us))
        if not parts:
            return {}
        names = itertools.chain.from_iterable(layout.names for layout, _ in parts)
        values = np.concatenate([numbers[layout.places] for layout, numbers in parts], dtype=np.float64)
        return dict(zip(names, values.tolist(), strict=True))

    def _parts(self, rows: WindowRows, start_us: int) -> Iterator[_Part]:
        """Families of features whose names begin alike, in the order of how they begin."""
        spans = None if rows.traces is None else _SpanGroups.of(rows.traces)
        if spans is not None:
            yield self._spans("call", CLIENT_SPAN, spans)
        if rows.logs is not None:
            yield from self._logs(rows.logs)
        if rows.metrics is not None:
            yield self._metrics(rows.metrics, start_us)
        if spans is not None:
            yield self._spans("request", SERVER_SPAN, spans)

    def _metrics(self, rows: MetricRows, start_us: int) -> _Part:
        starts = _group_starts(rows.name)
        groups = rows.name[starts]
        layout = self._layout("metric", groups.tobytes(), _STATISTICS, lambda: self._texts(groups))
        return layout, _statistics(rows, starts, start_us)

    def _logs(self, rows: LogRows) -> Iterator[_Part]:
        levels, counts = _counted(_LEVEL_OF[rows.severity])
        yield (
            self._layout(
                "log/severity", levels.tobytes(), _COUNT_ALONE, lambda: [_LEVELS[level] for level in levels]
            ),
            counts,
        )
        templates, counts = _counted(rows.template)
        yield (
            self._layout("log/template", templates.tobytes(), _COUNT_ALONE, lambda: self._texts(templates)),
            counts,
        )

    def _spans(self, family: str, kind: int, spans: _SpanGroups) -> _Part:
        def texts() -> list[str | None]:
            return [
                self._span_group(group) if of_kind == kind else None
                for of_kind, group in zip(spans.kinds.tolist(), spans.groups.tolist(), strict=True)
            ]

        return self._layout(family, spans.key, _LATENCIES, texts), spans.numbers

    def _span_group(self, group: int) -> str | None:
        """Its text; a span without a peer or endpoint counts among all only."""
        return _ALL if group == _ALL_GROUP else self._dictionary.text(group) or None

    def _texts(self, numbers: NDArray[Any]) -> list[str]:
        return [self._dictionary.text(number) for number in numbers.tolist()]

    def _layout(
        self,
        family: str,
        groups: bytes,
        statistics: Sequence[str],
        texts: Callable[[], Sequence[str | None]],
    ) -> _Layout:
        layout = self._layouts.get((family, groups))
        if layout is None:
            if len(self._layouts) >= _KEPT_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[family, groups] = _layout_of(family, texts(), statistics)
        return layout


def same_features(one: Features, other: Features) -> bool:
    """Whether two windows have the same features; undefined numbers are the same, zeros of two signs not."""
    if one is other:
        return True
    return one.keys() == other.keys() and _comparable(one) == _comparable(other)


def _comparable(features: Features) -> bytes:
    values = np.fromiter(features.values(), np.float64, len(features))
    values[np.isnan(values)] = np.nan
    return values.tobytes()


def _layout_of(family: str, groups: Sequence[str | None], statistics: Sequence[str]) -> _Layout:
    """The layout of numbers that come statistic by statistic, each for every group; None is left out."""
    places = {
        f"{family}/{group}{statistic}": row * len(groups) + column
        for row, statistic in enumerate(statistics)
        for column, group in enumerate(groups)
        if group is not None
    }
    names = tuple(sorted(places))
    return _Layout(names, np.array([places[name] for name in names], np.intp))


def _statistics(rows: MetricRows, starts: NDArray[np.intp], start_us: int) -> Float64:
    """Of each group of points, statistic by statistic."""
    value, counts = rows.value, _lengths(starts, len(rows))
    mean = np.add.reduceat(value, starts) / counts
    seconds = (rows.time_us - start_us) / 1e6
    return np.concatenate(
        (
            counts,
            np.minimum.reduceat(value, starts),
            np.maximum.reduceat(value, starts),
            mean,
            value[starts + counts - 1],
            _slopes(seconds, value, mean, starts, counts),
        )
    )


def _slopes(
    seconds: Float64, value: Float64, mean: Float64, starts: NDArray[np.intp], counts: NDArray[np.intp]
) -> Float64:
    """Least-squares slope of each group, about the group's means so that large values lose no digits."""
    t = seconds - np.repeat(np.add.reduceat(seconds, starts) / counts, counts)
    v = value - np.repeat(mean, counts)
    spread = np.add.reduceat(t * t, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, np.add.reduceat(t * v, starts) / spread, np.nan)


class _SpanGroups(NamedTuple):
    """Latencies of spans by kind and endpoint or peer; `_ALL_GROUP` of a kind is all of that kind.

    Attributes:
        kinds: kind of each group.
        groups: endpoint of each group of SERVER spans, peer of each other, as number.
        numbers: statistic by statistic, of every group.
    """

    kinds: UInt8
    groups: Numbers
    numbers: Float64

    @property
    def key(self) -> bytes:
        """What the groups are, in order."""
        return self.kinds.tobytes() + self.groups.tobytes()

    @classmethod
    def of(cls, rows: SpanRows) -> _SpanGroups:
        """The groups of a window's spans."""
        # Every span is there twice: once in the group of all.
        kind = np.concatenate((rows.kind, rows.kind))
        group = np.full(len(kind), _ALL_GROUP, np.int32)
        group[len(rows) :] = np.where(rows.kind == SERVER_SPAN, rows.endpoint, rows.peer)
        duration_us = np.concatenate((rows.duration_us, rows.duration_us))
        failed = np.concatenate((rows.error, rows.error)) != 0
        order = np.lexsort((duration_us, group, kind))
        kind, group = kind[order], group[order]
        starts = _group_starts(kind, group)
        return cls(kind[starts], group[starts], _latencies(duration_us[order], failed[order], starts))


def _latencies(duration_us: Int64, failed: NDArray[np.bool_], starts: NDArray[np.intp]) -> Float64:
    """Of each group of spans, statistic by statistic; `duration_us` rises within a group."""
    counts = _lengths(starts, len(duration_us))
    failures = np.add.reduceat(failed, starts, dtype=np.intp)
    ranks = np.ceil(_SHARES * counts).astype(np.intp) - 1
    quantiles_ms = duration_us[starts + ranks] / 1000
    return np.concatenate((counts, failures / counts, quantiles_ms.ravel()))


def _counted(column: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The different numbers of a column of small numbers, and how often each is there."""
    counts = np.bincount(column)
    found = np.flatnonzero(counts)
    return found, counts[found]


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
