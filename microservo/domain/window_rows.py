"""The rows of a window at its cut: those of all its blocks, each different one once.

What is computed from them depends on the *set* of the rows and on nothing else: not on arrival, batch size,
partition or writer. Rows of metrics are brought into one order by all their columns, since their numbers are
summed; of logs and spans only counts and quantiles are taken, which no order can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.domain.blocks import Block, Columns
from microservo.domain.dictionary import Dictionary, Numbers
from microservo.domain.telemetry import Float64, Int64, Signal, UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRows:
    """Distinct points, ordered by name (as number), time, text of the instance and value."""

    name: Numbers
    time_us: Int64
    value: Float64

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRows:
    """Distinct log lines, in no order."""

    severity: UInt8
    template: Numbers

    def __len__(self) -> int:
        return len(self.severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRows:
    """Distinct spans, in no order."""

    kind: UInt8
    endpoint: Numbers
    peer: Numbers
    duration_us: Int64
    error: UInt8

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRows:
    """The distinct rows of a window; None where it has none of a signal."""

    metrics: MetricRows | None = None
    logs: LogRows | None = None
    traces: SpanRows | None = None

    def counts(self) -> dict[Signal, int]:
        """How many rows there are of each signal."""
        rows: dict[Signal, MetricRows | LogRows | SpanRows | None] = {
            "metrics": self.metrics,
            "logs": self.logs,
            "traces": self.traces,
        }
        return {signal: 0 if of_signal is None else len(of_signal) for signal, of_signal in rows.items()}


def metric_rows(blocks: Sequence[Block], dictionary: Dictionary) -> MetricRows:
    """The distinct points of the blocks, in their order."""
    columns = Columns("metrics", blocks)
    name, time = columns["name"], columns["time_us"]
    order = np.lexsort((time, name))
    ordered_name, ordered_time = name[order], time[order]
    same = _equals_before(ordered_time)
    same &= _equals_before(ordered_name)
    if np.logical_or.reduce(same):
        order = _settled(order, same, columns, dictionary)
        ordered_name, ordered_time = name[order], time[order]
    return MetricRows(name=ordered_name, time_us=ordered_time, value=columns["value"][order])


def log_rows(blocks: Sequence[Block]) -> LogRows:
    """The distinct log lines of the blocks."""
    columns = Columns("logs", blocks)
    hint = columns["time_us"] ^ columns["body"]
    severity, template = _distinct(hint, columns, ("severity", "template"))
    return LogRows(severity=severity, template=template)


def span_rows(blocks: Sequence[Block]) -> SpanRows:
    """The distinct spans of the blocks."""
    columns = Columns("traces", blocks)
    hint = columns["start_us"].view(np.uint64) ^ columns["span"]
    kind, endpoint, peer, duration_us, error = _distinct(
        hint, columns, ("kind", "endpoint", "peer", "duration_us", "error")
    )
    return SpanRows(kind=kind, endpoint=endpoint, peer=peer, duration_us=duration_us, error=error)


def _settled(
    order: NDArray[np.intp], same: NDArray[np.bool_], columns: Columns, dictionary: Dictionary
) -> NDArray[np.intp]:
    """An order by name and time, with points that share both put in order too, each different one once."""
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
