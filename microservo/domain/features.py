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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microservo.domain.dictionary import Dictionary
from microservo.domain.ordering import order_by
from microservo.domain.point_statistics import point_groups, statistics_of
from microservo.domain.row_groups import GROUP_MASK, KIND_SHIFT, Groups, counts_of, group_starts, lengths
from microservo.domain.telemetry import (
    CLIENT_SPAN,
    CONSUMER_SPAN,
    HTTP,
    INTERNAL_SPAN,
    PRODUCER_SPAN,
    PROTOCOLS,
    SERVER_SPAN,
    Signal,
    UInt8,
)
from microservo.domain.window_rows import SpanRows, WindowRows, Windows

Features = dict[str, float]

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
# Groups of spans have a key of kind, and number of a text or what no text's number can be: all of the kind,
# or, counted down from there, all of a protocol.
_ALL_NUMBER = -1
_ALL_GROUP = _ALL_NUMBER & GROUP_MASK
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
        self._metrics = _Family("metric", statistics_of, lambda key: dictionary.text(key & GROUP_MASK))
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

    def _families(self, rows: WindowRows, start_us: int) -> Iterator[tuple[_Family, Groups]]:
        """In the order of how their names begin."""
        spans = {} if rows.traces is None else _by_kind(_latencies(rows.traces))
        for kind in (CLIENT_SPAN, CONSUMER_SPAN, INTERNAL_SPAN):
            if kind in spans:
                yield self._spans[kind], spans[kind]
        if rows.logs is not None:
            yield self._levels, _level_counts(rows.logs.window, rows.logs.severity)
            yield self._templates, counts_of(rows.logs.window, rows.logs.template)
        if rows.metrics is not None:
            yield self._metrics, point_groups(rows.metrics, start_us, self._size_us, self._dictionary)
        if SERVER_SPAN in spans:
            yield self._spans[SERVER_SPAN], spans[SERVER_SPAN]

    def _span_text(self, key: int) -> str | None:
        number = key & GROUP_MASK
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


def _level_counts(window: Windows, severity: UInt8) -> Groups:
    """How often each level is there. They are few, so that no line need be sorted for it."""
    levels = len(LEVELS)
    counts = np.bincount(window * levels + LEVEL_OF[severity])
    found = counts.nonzero()[0]
    return Groups(found // levels, found % levels, counts[found][np.newaxis])


def _latencies(rows: SpanRows) -> Groups:
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
    starts = group_starts(kind, window, number)
    counts = lengths(starts, len(order))
    failures = np.add.reduceat(failed, starts)
    ranks = np.ceil(_SHARES * counts).astype(np.intp) - 1
    quantiles_ms = duration_us[starts + ranks] / 1000
    key = kind[starts] << KIND_SHIFT | number[starts] & np.int64(GROUP_MASK)
    return Groups(window[starts], key, np.vstack((counts, failures / counts, quantiles_ms)))


def _by_kind(groups: Groups) -> dict[int, Groups]:
    """The groups of spans by their kind, of those kinds that are there."""
    kinds = groups.keys >> KIND_SHIFT
    starts = group_starts(kinds)
    edges = itertools.pairwise([*starts.tolist(), len(kinds)])
    return {
        kind: Groups(groups.windows[begin:end], groups.keys[begin:end], groups.numbers[:, begin:end])
        for kind, (begin, end) in zip(kinds[starts].tolist(), edges, strict=True)
    }
