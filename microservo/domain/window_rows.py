"""The rows of windows at their cut: those of all their blocks, each different one once.

Windows of many services are cut at one instant, and a step over the rows of all of them costs little more
than over those of one. So they are taken together, and every row says which window it is of.

What is computed from them depends on the *set* of the rows and on nothing else: not on arrival, batch size,
partition or writer. Rows of metrics are brought into one order by all their columns, since their numbers are
summed; of logs and spans only counts and quantiles are taken, which no order can change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.domain.blocks import Block, Columns
from microservo.domain.dictionary import Dictionary, Numbers
from microservo.domain.ordering import order_by
from microservo.domain.telemetry import SIGNALS, Float64, Int64, Signal, UInt8

Windows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRows:
    """Distinct points, ordered by window, name (as number), time, text of the instance and value."""

    window: Windows
    name: Numbers
    time_us: Int64
    value: Float64


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
            logs=None if logs is None else _log_rows(logs),
            traces=None if traces is None else _span_rows(traces),
        )

    def counts(self) -> list[dict[Signal, int]]:
        """How many rows each window has of each signal."""
        of_signal = [
            [0] * self.windows if rows is None else np.bincount(rows.window, minlength=self.windows).tolist()
            for rows in (self.metrics, self.logs, self.traces)
        ]
        return [dict(zip(SIGNALS, counts, strict=True)) for counts in zip(*of_signal, strict=True)]


def _metric_rows(columns: Columns, dictionary: Dictionary) -> MetricRows:
    window, name, time = columns["window"], columns["name"], columns["time_us"]
    order = order_by(time, name, window)
    same = _equals_before(time[order])
    same &= _equals_before(name[order])
    same &= _equals_before(window[order])
    if np.logical_or.reduce(same):
        order = _settled(order, same, columns, dictionary)
    return MetricRows(
        window=window[order], name=name[order], time_us=time[order], value=columns["value"][order]
    )


def _log_rows(columns: Columns) -> LogRows:
    hint = columns["time_us"] ^ columns["body"]
    window, severity, template = _distinct(hint, columns, ("window", "severity", "template"))
    return LogRows(window=window, severity=severity, template=template)


def _span_rows(columns: Columns) -> SpanRows:
    hint = columns["start_us"].view(np.uint64) ^ columns["span_id"]
    names = ("window", "kind", "endpoint", "peer", "duration_us", "error")
    window, kind, endpoint, peer, duration_us, error = _distinct(hint, columns, names)
    return SpanRows(
        window=window, kind=kind, endpoint=endpoint, peer=peer, duration_us=duration_us, error=error
    )


def _settled(
    order: NDArray[np.intp], same: NDArray[np.bool_], columns: Columns, dictionary: Dictionary
) -> NDArray[np.intp]:
    """An order by window, name and time, with points that share all three put in order too, each once."""
    places = np.flatnonzero(_in_runs(same))
    tied = order[places]
    value, instance = columns["value"][tied], columns["instance"][tied]
    keys = (
        # Zeros of both signs are one value, and the order must not tell which of them came first.
        value.view(np.int64),
        value,
        dictionary.ranks(instance),
        columns["time_us"][tied],
        columns["name"][tied],
        columns["window"][tied],
    )
    order[places] = tied[np.lexsort(keys)]
    for name in ("value", "instance"):
        same &= _equals_before(columns[name][order])
    kept: NDArray[np.intp] = order[np.append(True, ~same)]
    return kept


def _distinct(hint: NDArray[Any], columns: Columns, wanted: Sequence[str]) -> list[NDArray[Any]]:
    """The wanted columns, with each different row once.

    Args:
        hint: equal for equal rows and seldom for others; only rows that share it are compared.
        columns: of all rows.
        wanted: names of columns.
    """
    if not np.logical_or.reduce(_equals_before(np.sort(hint))):
        return [columns[name] for name in wanted]
    order = np.argsort(hint)
    suspects = order[_in_runs(_equals_before(hint[order]))]
    suspects = suspects[np.lexsort([columns[name][suspects] for name in columns.names])]
    repeated = np.logical_and.reduce([_equals_before(columns[name][suspects]) for name in columns.names])
    keep = np.ones(len(hint), np.bool_)
    keep[suspects[1:][repeated]] = False
    return [columns[name][keep] for name in wanted]


def _equals_before(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Of each row but the first, whether it equals the one before; NaN equals nothing."""
    same: NDArray[np.bool_] = column[1:] == column[:-1]
    return same


def _in_runs(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each row, whether it equals the one before or the one after."""
    in_runs: NDArray[np.bool_] = np.append(same, False) | np.append(False, same)
    return in_runs
