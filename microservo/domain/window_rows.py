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

from microservo.domain.blocks import Block, joined
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
    columns = joined("metrics", blocks)
    name, time = columns["name"], columns["time_us"]
    order = np.lexsort((time, name))
    same = _equals_before(order, time, name)
    if same.any():
        order = _settled(order, same, columns, dictionary)
    return MetricRows(name=name[order], time_us=time[order], value=columns["value"][order])


def log_rows(blocks: Sequence[Block]) -> LogRows:
    """The distinct log lines of the blocks."""
    columns = joined("logs", blocks)
    hint = columns["time_us"].view(np.uint64) ^ columns["span"] ^ columns["body"]
    columns = _distinct(hint, columns)
    return LogRows(severity=columns["severity"], template=columns["template"])


def span_rows(blocks: Sequence[Block]) -> SpanRows:
    """The distinct spans of the blocks."""
    columns = joined("traces", blocks)
    columns = _distinct(columns["start_us"].view(np.uint64) ^ columns["span"], columns)
    return SpanRows(
        kind=columns["kind"],
        endpoint=columns["endpoint"],
        peer=columns["peer"],
        duration_us=columns["duration_us"],
        error=columns["error"],
    )


def _settled(
    order: NDArray[np.intp], same: NDArray[np.bool_], columns: dict[str, NDArray[Any]], dictionary: Dictionary
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
    repeated = _equals_before(order, columns["time_us"], columns["name"])
    repeated &= _equals_before(order, columns["value"], columns["instance"])
    kept: NDArray[np.intp] = order[np.append(True, ~repeated)]
    return kept


def _distinct(hint: NDArray[np.uint64], columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The columns with each different row once.

    Args:
        hint: equal for equal rows and seldom for others; only rows that share it are compared.
        columns: the columns of all rows.
    """
    order = np.argsort(hint)
    same = _equals_before(order, hint)
    if not same.any():
        return columns
    suspects = order[_in_runs(same)]
    suspects = suspects[np.lexsort([column[suspects] for column in columns.values()])]
    keep = np.ones(len(hint), np.bool_)
    keep[suspects[1:][_equals_before(suspects, *columns.values())]] = False
    return {name: column[keep] for name, column in columns.items()}


def _equals_before(order: NDArray[np.intp], *columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Of each row but the first in this order, whether it equals the one before; NaN equals nothing."""
    same = np.ones(len(order) - 1, np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    return same


def _in_runs(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each row, whether it equals the one before or the one after."""
    in_runs: NDArray[np.bool_] = np.append(same, False) | np.append(False, same)
    return in_runs
