"""The telemetry of one service that effects are measured on: spans and points, in columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from microservo.domain.effects.columns import Column, Columns
from microservo.domain.faults.base import Measure
from microservo.domain.repetition import span_hint
from microservo.domain.telemetry import (
    CLIENT_SPAN,
    CONSUMER_SPAN,
    PRODUCER_SPAN,
    SERVER_SPAN,
    Float64,
    Int64,
    metric_columns,
    span_columns,
)
from schemas.records import MetricBatch, SpanBatch

K = TypeVar("K")

_MOST_SPANS = 300_000
_MOST_POINTS = 200_000
_MOST_NUMBERS = 4096
"""Strata, series or instances of one service; all that comes beyond is one, so memory stays bounded."""

_REQUEST_KINDS = (SERVER_SPAN, CONSUMER_SPAN)
_CALL_KINDS = (CLIENT_SPAN, PRODUCER_SPAN)
_MEASURED = np.isin(np.arange(256), (*_REQUEST_KINDS, *_CALL_KINDS))
_WHOLE = ""
"""The instance of points about a service as a whole."""


class Stratum(NamedTuple):
    """Spans that are comparable: requests of an endpoint, or calls of one to a peer."""

    is_call: bool
    endpoint: str
    peer: str


@dataclass(frozen=True, slots=True)
class Samples:
    """Records of one measure, in the order in which they began; all arrays have shape (records,).

    Attributes:
        begin_us: start of a span; time of a point.
        end_us: event time.
        stratum: which of them are comparable.
        value: duration in milliseconds, or value of the metric.
        failed: whether the span is an error.
    """

    begin_us: Int64
    end_us: Int64
    stratum: NDArray[np.uint16]
    value: Float64
    failed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.begin_us)

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Samples:
        """Some of the records."""
        return Samples(
            self.begin_us[rows], self.end_us[rows], self.stratum[rows], self.value[rows], self.failed[rows]
        )


class _Numbers(Generic[K]):
    """Numbers for what occurs, given out once."""

    def __init__(self, rest: K) -> None:
        self._rest = rest
        self._numbers: dict[K, int] = {}

    def number(self, key: K) -> int:
        if key not in self._numbers and len(self._numbers) >= _MOST_NUMBERS:
            key = self._rest
        return self._numbers.setdefault(key, len(self._numbers))

    def numbers(self, wanted: Callable[[K], bool]) -> NDArray[np.bool_]:
        """Of each number, whether it is of something wanted."""
        return np.array([wanted(each) for each in self._numbers] + [False], np.bool_)


class History:
    """The spans and points of one service, each once, up to a bound."""

    def __init__(self, kept_us: int) -> None:
        self._spans = Columns(order="begin_us", identity="id", kept_us=kept_us, most=_MOST_SPANS)
        self._points = Columns(order="begin_us", identity="id", kept_us=kept_us, most=_MOST_POINTS)
        self._strata = _Numbers(Stratum(False, "", ""))
        self._series = _Numbers(("", _WHOLE))
        self._instances = _Numbers(_WHOLE)
        self.first_us: int | None = None
        """Event time of the oldest record that came."""

    def add_spans(self, batch: SpanBatch) -> None:
        """Adds the requests and calls of a batch; other spans are no measure of anything."""
        columns = span_columns(batch)
        rows = _MEASURED[columns.kind].nonzero()[0]
        if not len(rows):
            return
        kind, endpoint, peer = columns.kind[rows], columns.endpoint[rows], columns.peer[rows]
        is_call = np.isin(kind, _CALL_KINDS)
        code = (is_call.astype(np.int64) << 32) | (endpoint.astype(np.int64) << 16) | peer
        stratum = _numbered(
            code,
            lambda each: self._strata.number(
                Stratum(bool(each >> 32), batch.endpoints[each >> 16 & 0xFFFF], batch.peers[each & 0xFFFF])
            ),
        )
        span_id = columns.span_id[rows].copy().view("<u8").ravel()
        self._began(columns.start_us[rows])
        self._spans.add(
            begin_us=columns.start_us[rows],
            duration_us=columns.duration_us[rows],
            stratum=stratum,
            instance=self._instance(batch.instances, columns.instance[rows]),
            failed=columns.error[rows] != 0,
            id=span_hint(columns.trace_id[rows].copy(), span_id + is_call),
        )

    def add_points(self, batch: MetricBatch) -> None:
        """Adds the points of a batch; what is no number is passed over."""
        columns = metric_columns(batch)
        rows = np.isfinite(columns.value).nonzero()[0]
        if not len(rows):
            return
        name, instance = columns.name[rows], columns.instance[rows]
        series = _numbered(
            name.astype(np.int64) << 16 | instance,
            lambda each: self._series.number((batch.names[each >> 16], batch.instances[each & 0xFFFF])),
        )
        self._began(columns.time_us[rows])
        self._points.add(
            begin_us=columns.time_us[rows],
            stratum=series,
            instance=self._instance(batch.instances, instance),
            value=columns.value[rows],
            id=series,
        )

    def samples(
        self,
        measure: Measure,
        peers: Collection[str],
        from_us: int,
        until_us: int,
        *,
        instances: Collection[str] = (),
    ) -> Samples:
        """The records of a measure that began in [from, until).

        Args:
            measure: what to select.
            peers: of calls, those to these services.
            from_us: microseconds UTC.
            until_us: likewise.
            instances: only of these, if they have sent any; all by default.
        """
        if measure.of == "metric":
            return self._point_samples(measure.metric, from_us, until_us, instances)
        return self._span_samples(measure.of == "calls", peers, from_us, until_us, instances)

    def _span_samples(
        self, is_call: bool, peers: Collection[str], from_us: int, until_us: int, instances: Collection[str]
    ) -> Samples:
        columns = self._spans.between(from_us, until_us)
        if not columns:
            return _NO_SAMPLES
        wanted = self._strata.numbers(
            lambda each: each.is_call == is_call and (not is_call or each.peer in peers)
        )
        rows = self._of_instances(columns, wanted[columns["stratum"]], instances)
        begin_us, duration_us = columns["begin_us"][rows], columns["duration_us"][rows]
        return Samples(
            begin_us,
            begin_us + duration_us,
            columns["stratum"][rows],
            duration_us / 1000,
            columns["failed"][rows],
        )

    def _point_samples(self, metric: str, from_us: int, until_us: int, instances: Collection[str]) -> Samples:
        columns = self._points.between(from_us, until_us)
        if not columns:
            return _NO_SAMPLES
        wanted = self._series.numbers(lambda each: each[0].partition("{")[0] == metric)
        rows = self._of_instances(columns, wanted[columns["stratum"]], instances)
        time_us = columns["begin_us"][rows]
        return Samples(
            time_us,
            time_us,
            columns["stratum"][rows],
            columns["value"][rows],
            np.zeros(len(rows), np.bool_),
        )

    def _of_instances(
        self, columns: dict[str, Column], wanted: NDArray[np.bool_], instances: Collection[str]
    ) -> NDArray[np.intp]:
        if instances:
            among = self._instances.numbers(lambda each: each in instances or each == _WHOLE)
            chosen = wanted & among[columns["instance"]]
            if chosen.any():
                wanted = chosen
        rows: NDArray[np.intp] = wanted.nonzero()[0]
        return rows

    def _instance(self, texts: tuple[str, ...], column: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return _numbered(column, lambda each: self._instances.number(texts[each]))

    def _began(self, times_us: Int64) -> None:
        first_us = int(times_us.min())
        self.first_us = first_us if self.first_us is None else min(self.first_us, first_us)


def _numbered(column: Column, number: Callable[[int], int]) -> NDArray[np.uint16]:
    """The column with each value that occurs replaced by its number."""
    values, places = np.unique(column, return_inverse=True)
    return np.array([number(each) for each in values.tolist()], np.uint16)[places]


_NO_SAMPLES = Samples(
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.uint16),
    np.empty(0, np.float64),
    np.empty(0, np.bool_),
)
