"""The telemetry of one service that effects are measured on: spans and points, in columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

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

_MOST_SPANS = 300_000
_MOST_POINTS = 200_000
_BITS = 12
_MASK = (1 << _BITS) - 1
_REST = _MASK
_MOST_TEXTS = _REST
"""Endpoints, peers, metrics or instances of one service; all that comes beyond is one."""
_MOST_STRATA = 4095

_CALL_KINDS = (CLIENT_SPAN, PRODUCER_SPAN)
_IS_CALL = np.isin(np.arange(256), _CALL_KINDS).astype(np.int32)
_MEASURED = np.isin(np.arange(256), (SERVER_SPAN, CONSUMER_SPAN, *_CALL_KINDS))
_WHOLE = ""
"""The instance of points about a service as a whole."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Records of one measure, in the order in which they began; all arrays have shape (records,).

    Attributes:
        begin_us: start of a span; time of a point.
        end_us: event time.
        stratum: which of them are comparable: spans of one endpoint and peer, points of one series.
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


class _Texts:
    """Numbers for texts, given out once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The number of each text."""
        numbers = self._numbers
        return np.array(
            [
                numbers.setdefault(text, len(numbers))
                if text in numbers or len(numbers) < _MOST_TEXTS
                else _REST
                for text in texts
            ],
            np.int32,
        )

    def wanted(self, which: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Of each number that there may be, whether it is of such a text."""
        found = np.zeros(1 << _BITS, np.bool_)
        for text, number in self._numbers.items():
            found[number] = which(text)
        return found


class _Strata:
    """Small numbers for the codes of strata, given out in the order in which they are met."""

    def __init__(self) -> None:
        self._codes = np.empty(0, np.int32)
        self._numbers = np.empty(0, np.uint16)

    def of(self, codes: NDArray[np.int32]) -> NDArray[np.uint16]:
        """The number of each code."""
        places = np.searchsorted(self._codes, codes)
        # Hardly ever is one new, and to look for new ones takes longer than all else.
        if not len(self._codes) or (self._codes.take(places, mode="clip") != codes).any():
            self._meet(np.setdiff1d(codes, self._codes))
            places = np.searchsorted(self._codes, codes)
        return self._numbers[places]

    def _meet(self, new: NDArray[np.int32]) -> None:
        known = len(self._codes)
        given = np.minimum(known + np.arange(len(new)), _MOST_STRATA).astype(np.uint16)
        order = np.argsort(np.concatenate((self._codes, new)))
        self._codes = np.concatenate((self._codes, new))[order]
        self._numbers = np.concatenate((self._numbers, given))[order]


class History:
    """The spans and points of one service, each once, up to a bound."""

    def __init__(self, kept_us: int) -> None:
        self._spans = Columns(order="begin_us", identity="id", kept_us=kept_us, most=_MOST_SPANS)
        self._points = Columns(order="begin_us", identity="id", kept_us=kept_us, most=_MOST_POINTS)
        self._endpoints, self._peers = _Texts(), _Texts()
        self._metrics, self._instances = _Texts(), _Texts()
        self._span_strata, self._point_strata = _Strata(), _Strata()
        self.first_us: int | None = None
        """When the oldest record began that came."""

    def add_spans(self, batch: SpanBatch) -> None:
        """Adds the requests and calls of a batch; other spans are no measure of anything."""
        columns = span_columns(batch)
        rows = _MEASURED[columns.kind].nonzero()[0]
        if not len(rows):
            return
        is_call = _IS_CALL[columns.kind[rows]]
        endpoint = self._endpoints.of(batch.endpoints)[columns.endpoint[rows]]
        peer = self._peers.of(batch.peers)[columns.peer[rows]]
        # A caller and a callee in one process may share the id of a span.
        span_id = columns.span_id[rows].view("<u8") + is_call.astype(np.uint64)
        self._began(columns.start_us[rows])
        self._spans.add(
            begin_us=columns.start_us[rows],
            duration_us=columns.duration_us[rows],
            code=is_call << (2 * _BITS) | endpoint << _BITS | peer,
            instance=self._instances.of(batch.instances)[columns.instance[rows]],
            failed=columns.error[rows] != 0,
            id=span_hint(columns.trace_id[rows], span_id),
        )

    def add_points(self, batch: MetricBatch) -> None:
        """Adds the points of a batch; what is no number, or repeats an old one, is passed over."""
        columns = metric_columns(batch)
        rows = (np.isfinite(columns.value) & (columns.age_us == 0)).nonzero()[0]
        if not len(rows):
            return
        instance = self._instances.of(batch.instances)[columns.instance[rows]]
        code = self._metrics.of(batch.names)[columns.name[rows]] << _BITS | instance
        self._began(columns.time_us[rows])
        self._points.add(
            begin_us=columns.time_us[rows], code=code, instance=instance, value=columns.value[rows], id=code
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
        code = columns["code"]
        wanted = (code >> (2 * _BITS)) == is_call
        if is_call:
            wanted &= self._peers.wanted(lambda peer: peer in peers)[code & _MASK]
        rows = self._of_instances(columns, wanted, instances)
        begin_us, duration_us = columns["begin_us"][rows], columns["duration_us"][rows]
        return Samples(
            begin_us,
            begin_us + duration_us,
            self._span_strata.of(code[rows]),
            duration_us / 1000,
            columns["failed"][rows],
        )

    def _point_samples(self, metric: str, from_us: int, until_us: int, instances: Collection[str]) -> Samples:
        columns = self._points.between(from_us, until_us)
        if not columns:
            return _NO_SAMPLES
        wanted = self._metrics.wanted(lambda name: name.partition("{")[0] == metric)
        rows = self._of_instances(columns, wanted[columns["code"] >> _BITS], instances)
        time_us = columns["begin_us"][rows]
        return Samples(
            time_us,
            time_us,
            self._point_strata.of(columns["code"][rows]),
            columns["value"][rows],
            np.zeros(len(rows), np.bool_),
        )

    def _of_instances(
        self, columns: dict[str, Column], wanted: NDArray[np.bool_], instances: Collection[str]
    ) -> NDArray[np.intp]:
        if instances:
            among = self._instances.wanted(lambda each: each in instances or each == _WHOLE)
            chosen = wanted & among[columns["instance"]]
            if chosen.any():
                wanted = chosen
        rows: NDArray[np.intp] = wanted.nonzero()[0]
        return rows

    def _began(self, times_us: Int64) -> None:
        first_us = int(times_us.min())
        self.first_us = first_us if self.first_us is None else min(self.first_us, first_us)


_NO_SAMPLES = Samples(
    np.empty(0, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.uint16),
    np.empty(0, np.float64),
    np.empty(0, np.bool_),
)
