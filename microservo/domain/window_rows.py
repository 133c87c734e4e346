"""The rows of windows at their cut: those of all their blocks, without what a sender repeated.

Windows of many services are cut at one instant, and a step over the rows of all of them costs little more
than over those of one. So they are taken together, and every row says which window it is of.

What is computed from them depends on the *set* of the rows and on nothing else: not on arrival, batch size,
partition or writer. Rows of metrics are brought into one order by all their columns, since their numbers are
summed; of logs and spans only counts and quantiles are taken, which no order can change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from microservo.domain.blocks import Block, Columns
from microservo.domain.dictionary import Dictionary, Numbers
from microservo.domain.ordering import order_by
from microservo.domain.repetition import Rows, equals_before, in_runs, repeats, span_hint, trace_words
from microservo.domain.telemetry import SIGNALS, Float64, Int64, Signal, UInt8

Windows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRows:
    """Distinct points, ordered by window, name (as number), time, text of the instance and value.

    Attributes:
        instance: as number.
        interval_us: what the value is a rate over, 0 where it is none.
        age_us: how long before `time_us` it was measured, 0 for a point as it came.
    """

    window: Windows
    name: Numbers
    time_us: Int64
    value: Float64
    instance: Numbers
    interval_us: Int64
    age_us: Int64

    def at(self, rows: NDArray[Any]) -> Self:
        """Some of the rows."""
        return replace(self, **{each.name: getattr(self, each.name)[rows] for each in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRows:
    """Distinct log lines, in no order."""

    window: Windows
    severity: UInt8
    template: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRows:
    """Distinct spans, in no order."""

    window: Windows
    kind: UInt8
    endpoint: Numbers
    peer: Numbers
    protocol: UInt8
    duration_us: Int64
    error: UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRows:
    """The distinct rows of `windows` windows; None where none of them has any of a signal."""

    windows: int
    metrics: MetricRows | None
    logs: LogRows | None
    traces: SpanRows | None

    @classmethod
    def of(cls, windows: Sequence[Mapping[Signal, Sequence[Block]]], dictionary: Dictionary) -> WindowRows:
        """The rows of windows, each given by its blocks of every signal."""

        def columns(signal: Signal) -> Columns | None:
            blocks = [window[signal] for window in windows]
            return Columns(signal, blocks) if any(blocks) else None

        metrics, logs, traces = map(columns, SIGNALS)
        return cls(
            windows=len(windows),
            metrics=None if metrics is None else _metric_rows(metrics, dictionary),
            logs=None if logs is None else _log_rows(logs, dictionary),
            traces=None if traces is None else _span_rows(traces, dictionary),
        )

    def counts(self) -> list[dict[Signal, int]]:
        """How many rows each window has of each signal."""
        of_signal = [
            [0] * self.windows if rows is None else np.bincount(rows.window, minlength=self.windows).tolist()
            for rows in (self.metrics, self.logs, self.traces)
        ]
        return [dict(zip(SIGNALS, counts, strict=True)) for counts in zip(*of_signal, strict=True)]

    def as_it_came(self, counts: list[dict[Signal, int]]) -> list[dict[Signal, int]]:
        """The counts of each window without the points that only repeat an old value."""
        if self.metrics is None or not self.metrics.age_us.any():
            return counts
        repeated = np.bincount(self.metrics.window[self.metrics.age_us > 0], minlength=self.windows).tolist()
        return [
            {**each, "metrics": each["metrics"] - old} for each, old in zip(counts, repeated, strict=True)
        ]


def _metric_rows(columns: Columns, dictionary: Dictionary) -> MetricRows:
    window, name, time = columns["window"], columns["name"], columns["time_us"]
    order = order_by(time, name, window)
    same = equals_before(time[order])
    same &= equals_before(name[order])
    same &= equals_before(window[order])
    if np.logical_or.reduce(same):
        order = _settled(order, same, columns, dictionary)
    return MetricRows(
        window=window[order],
        name=name[order],
        time_us=time[order],
        value=columns["value"][order],
        instance=columns["instance"][order],
        interval_us=_mostly_left_out(columns, "interval_us", order),
        age_us=_mostly_left_out(columns, "age_us", order),
    )


def _mostly_left_out(columns: Columns, name: str, order: NDArray[np.intp]) -> Int64:
    """A column in an order; zeros need none."""
    return np.zeros(len(order), np.int64) if columns.is_left_out(name) else columns[name][order]


def _log_rows(columns: Columns, dictionary: Dictionary) -> LogRows:
    def identity(rows: Rows) -> list[NDArray[Any]]:
        return [columns["window"][rows], columns["line_id"][rows]]

    def choice(rows: Rows) -> list[NDArray[Any]]:
        template = dictionary.ranks(columns["template"][rows])
        return [columns["time_us"][rows], columns["severity"][rows], template]

    left_out = repeats(columns["line_id"], identity=identity, choice=choice)
    window, severity, template = _without(left_out, columns, ("window", "severity", "template"))
    return LogRows(window=window, severity=severity, template=template)


def _span_rows(columns: Columns, dictionary: Dictionary) -> SpanRows:
    def identity(rows: Rows) -> list[NDArray[Any]]:
        traces = trace_words(columns["trace_id"][rows])
        return [columns["window"][rows], *traces, columns["span_id"][rows], columns["kind"][rows]]

    def choice(rows: Rows) -> list[NDArray[Any]]:
        texts = [dictionary.ranks(columns[name][rows]) for name in ("endpoint", "peer")]
        numbers = [columns[name][rows] for name in ("start_us", "duration_us", "error", "protocol")]
        return [*numbers, *texts]

    hint = span_hint(columns["trace_id"], columns["span_id"])
    names = ("window", "kind", "endpoint", "peer", "protocol", "duration_us", "error")
    found = _without(repeats(hint, identity=identity, choice=choice), columns, names)
    return SpanRows(**dict(zip(names, found, strict=True)))


def _settled(
    order: NDArray[np.intp], same: NDArray[np.bool_], columns: Columns, dictionary: Dictionary
) -> NDArray[np.intp]:
    """An order by window, name and time, with points that share all three put in order too, each once."""
    places = np.flatnonzero(in_runs(same))
    tied = order[places]
    value, instance = columns["value"][tied], columns["instance"][tied]
    keys = (
        columns["age_us"][tied],
        columns["interval_us"][tied],
        # Zeros of both signs are one value, and the order must not tell which of them came first.
        value.view(np.int64),
        value,
        dictionary.ranks(instance),
        columns["time_us"][tied],
        columns["name"][tied],
        columns["window"][tied],
    )
    order[places] = tied[np.lexsort(keys)]
    for name in ("value", "instance", "interval_us", "age_us"):
        same &= equals_before(columns[name][order])
    kept: NDArray[np.intp] = order[np.append(True, ~same)]
    return kept


def _without(left_out: Rows, columns: Columns, wanted: Sequence[str]) -> list[NDArray[Any]]:
    """The wanted columns, without some rows."""
    if not len(left_out):
        return [columns[name] for name in wanted]
    kept = np.ones(len(columns["window"]), np.bool_)
    kept[left_out] = False
    return [columns[name][kept] for name in wanted]
