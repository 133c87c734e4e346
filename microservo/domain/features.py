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

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.domain.telemetry import CLIENT_SPAN, SERVER_SPAN, Signal
from microservo.domain.window_rows import Dictionary, Rows

Features = dict[str, float]

_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
_QUANTILES = (("p50_ms", 0.50), ("p90_ms", 0.90), ("p99_ms", 0.99))
_ALL = "*"


def features(rows: Mapping[Signal, Rows], start_us: int, dictionary: Dictionary) -> Features:
    """The features of a window, sorted by name.

    Args:
        rows: distinct rows of each signal, sorted as `microservo.domain.window_rows.distinct` leaves them.
        start_us: start of the window; slopes are computed relative to it.
        dictionary: the one that the rows were made with.
    """
    found = dict(_metric_features(rows["metrics"], start_us, dictionary))
    found.update(_log_features(rows["logs"], dictionary))
    spans = rows["traces"]
    for prefix, kind, column in (("request", SERVER_SPAN, "endpoint"), ("call", CLIENT_SPAN, "peer")):
        found.update(_span_features(prefix, spans[spans["kind"] == kind], column, dictionary.text))
    return dict(sorted(found.items()))


def _metric_features(rows: Rows, start_us: int, dictionary: Dictionary) -> Iterator[tuple[str, float]]:
    if not len(rows):
        return
    starts = _group_starts(rows["name"])
    counts = np.diff(np.append(starts, len(rows)))
    value, seconds = rows["value"], (rows["time"] - start_us) / 1e6
    last = value[starts + counts - 1]
    table = (
        ("count", counts),
        ("min", np.minimum.reduceat(value, starts)),
        ("max", np.maximum.reduceat(value, starts)),
        ("mean", np.add.reduceat(value, starts) / counts),
        ("last", last),
        ("slope", _slopes(seconds, value, starts, counts)),
    )
    names = [dictionary.text(number) for number in rows["name"][starts]]
    for statistic, column in table:
        for name, number in zip(names, column.tolist(), strict=True):
            yield f"metric/{name}/{statistic}", float(number)


def _slopes(
    seconds: NDArray[np.float64],
    value: NDArray[np.float64],
    starts: NDArray[np.intp],
    counts: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Least-squares slope of each group, about the group's means so that large values lose no digits."""
    group = np.repeat(np.arange(len(starts)), counts)
    t = seconds - (np.add.reduceat(seconds, starts) / counts)[group]
    v = value - (np.add.reduceat(value, starts) / counts)[group]
    spread = np.add.reduceat(t * t, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, np.add.reduceat(t * v, starts) / spread, np.nan)


def _log_features(rows: Rows, dictionary: Dictionary) -> Iterator[tuple[str, float]]:
    levels: dict[str, int] = {}
    for severity, count in _counted(rows["severity"]):
        levels[_level(severity)] = levels.get(_level(severity), 0) + count
    for level, count in levels.items():
        yield f"log/severity/{level}", float(count)
    for template, count in _counted(rows["template"]):
        yield f"log/template/{dictionary.text(template)}", float(count)


def _counted(column: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Each number of a column of small numbers, and how often it is there."""
    counts = np.bincount(column)
    found = np.flatnonzero(counts)
    return zip(found.tolist(), counts[found].tolist(), strict=True)


def _level(severity: int) -> str:
    """OpenTelemetry severity numbers come in ranges of four: 1-4 trace, 5-8 debug, ... 21-24 fatal."""
    return _LEVELS[(severity - 1) // 4] if 1 <= severity <= 24 else "unknown"


def _span_features(
    prefix: str, rows: Rows, column: str, text: Callable[[int], str]
) -> Iterator[tuple[str, float]]:
    if not len(rows):
        return
    duration_us, failed = rows["duration"], rows["error"] != 0
    whole = np.zeros(1, np.intp)
    yield from _latency_features(prefix, [_ALL], np.sort(duration_us), failed, whole)
    order = np.lexsort((duration_us, rows[column]))
    ordered = rows[column][order]
    starts = _group_starts(ordered)
    names = [text(number) for number in ordered[starts].tolist()]
    yield from _latency_features(prefix, names, duration_us[order], failed[order], starts)


def _latency_features(
    prefix: str,
    names: Sequence[str],
    duration_us: NDArray[np.int64],
    failed: NDArray[np.bool_],
    starts: NDArray[np.intp],
) -> Iterator[tuple[str, float]]:
    """Of each group with a name; `duration_us` rises within each, and each begins at one of `starts`."""
    counts = np.diff(np.append(starts, len(duration_us)))
    failures = np.add.reduceat(failed, starts, dtype=np.intp).tolist()
    ranked = [
        duration_us[starts + np.ceil(share * counts).astype(np.intp) - 1].tolist() for _, share in _QUANTILES
    ]
    for group, (name, count) in enumerate(zip(names, counts.tolist(), strict=True)):
        if not name:
            continue
        yield f"{prefix}/{name}/count", float(count)
        yield f"{prefix}/{name}/error_share", failures[group] / count
        for (quantile, _), values in zip(_QUANTILES, ranked, strict=True):
            yield f"{prefix}/{name}/{quantile}", values[group] / 1000


def _group_starts(column: NDArray[Any]) -> NDArray[np.intp]:
    """Positions at which a sorted column takes a new value, the first included."""
    return np.flatnonzero(np.append(True, column[1:] != column[:-1]))
