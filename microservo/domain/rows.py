"""Telemetry on its way in: rows of one service and instance, in columns, before they are packed.

Arrays have shape (rows,). Text that repeats is coded: each different text once, and an index per row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from microservo.domain.exponential import Buckets
from microservo.domain.identity import UNIDENTIFIED, Identity
from microservo.domain.telemetry import Float64, Ids, Int64, UInt8, UInt64

Codes = NDArray[np.int64]
LEVEL: Final = 0
CUMULATIVE: Final = 1
DELTA: Final = 2
"""What the value of a point is: at an instant, since the start of its series, or since the point before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """A column of text: `names` holds each different text once, `codes` one index into it per row."""

    names: tuple[str, ...]
    codes: Codes

    def at(self, positions: Codes) -> Coded:
        """Some of the rows, with the names that occur in them."""
        used, codes = np.unique(self.codes[positions], return_inverse=True)
        names = tuple([self.names[code] for code in used.tolist()])
        return Coded(names=names, codes=codes.astype(np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedSeries:
    """A column of time series: each different one once, `codes` one index per row.

    Attributes:
        metrics: name of the metric.
        labels: attributes of its points as `{key=value,...}`, or empty.
        scopes: name of the instrumentation scope.
    """

    metrics: tuple[str, ...]
    labels: tuple[str, ...]
    scopes: tuple[str, ...]
    codes: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What all rows say of who sent them.

    Attributes:
        service: name under which the records go.
        instance: name of the instance among its service's; empty where it says none.
        identity: what else is known of it.
        scopes: names of the instrumentation scopes of these rows.
    """

    service: str
    instance: str
    identity: Identity = UNIDENTIFIED
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRows(_Sent):
    """Metric points of one instance as they go on.

    Attributes:
        interval_us: what a value is a rate over, 0 for one that is none; None where none is.
        age_us: how long before `time_us` a repeated value was measured, else 0; None where all is as it came.
        is_metered: whether others measured them from outside.
    """

    time_us: Int64
    name: Coded
    value: Float64
    interval_us: Int64 | None = None
    age_us: Int64 | None = None
    is_metered: bool = False

    @property
    def count(self) -> int:
        return len(self.time_us)

    def at(self, positions: Codes) -> Self:
        """Some of the rows."""
        return replace(
            self,
            time_us=self.time_us[positions],
            name=self.name.at(positions),
            value=self.value[positions],
            interval_us=None if self.interval_us is None else self.interval_us[positions],
            age_us=None if self.age_us is None else self.age_us[positions],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRows(_Sent):
    """Points of gauges and sums as they were sent.

    Attributes:
        start_us: since when a sum counts, 0 where unknown.
        temporality: LEVEL, CUMULATIVE or DELTA.
    """

    time_us: Int64
    start_us: Int64
    series: CodedSeries
    value: Float64
    temporality: UInt8

    @property
    def count(self) -> int:
        return len(self.time_us)

    def at(self, positions: Codes) -> Self:
        """Some of the rows."""
        return replace(
            self,
            time_us=self.time_us[positions],
            start_us=self.start_us[positions],
            series=replace(self.series, codes=self.series.codes[positions]),
            value=self.value[positions],
            temporality=self.temporality[positions],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionRows(_Sent):
    """Points of histograms or summaries, as they were sent: of one kind, with the same bounds of buckets.

    Attributes:
        start_us: since when they count, 0 where unknown.
        observations: how many values.
        total: their sum, NaN where it is not known.
        temporality: CUMULATIVE or DELTA, of all.
        bounds: upper bounds of the buckets but the last; none where they have no such buckets.
        buckets: values in each bucket, shape (rows, bounds + 1), or (rows, 0).
        exponential: of an exponential histogram its buckets, by row.
        quantiles: of a summary, by row what it says of quantiles: share and value.
    """

    time_us: Int64
    start_us: Int64
    series: CodedSeries
    observations: Float64
    total: Float64
    temporality: Literal[1, 2]
    bounds: tuple[float, ...] = ()
    buckets: Float64
    exponential: tuple[Buckets, ...] = ()
    quantiles: tuple[tuple[tuple[float, float], ...], ...] = ()

    @property
    def count(self) -> int:
        return len(self.time_us)

    def at(self, positions: Codes) -> Self:
        """Some of the rows."""
        return replace(
            self,
            time_us=self.time_us[positions],
            start_us=self.start_us[positions],
            series=replace(self.series, codes=self.series.codes[positions]),
            observations=self.observations[positions],
            total=self.total[positions],
            buckets=self.buckets[positions],
            exponential=tuple([self.exponential[at] for at in positions.tolist()])
            if self.exponential
            else (),
            quantiles=tuple([self.quantiles[at] for at in positions.tolist()]) if self.quantiles else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRows(_Sent):
    """Log lines of one instance; `line_id` is the same where a retry repeats a line, and 0 where unknown."""

    time_us: Int64
    severity: UInt8
    template: Coded
    trace_id: Ids
    span_id: Ids
    line_id: UInt64
    bodies: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.time_us)

    def at(self, positions: Codes) -> Self:
        """Some of the rows."""
        return replace(
            self,
            time_us=self.time_us[positions],
            severity=self.severity[positions],
            template=self.template.at(positions),
            trace_id=self.trace_id[positions],
            span_id=self.span_id[positions],
            line_id=self.line_id[positions],
            bodies=tuple([self.bodies[at] for at in positions.tolist()]) if self.bodies else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The spans that spans are linked to, one entry per link.

    Attributes:
        row: of the linking span.
    """

    row: Codes
    trace_id: Ids
    span_id: Ids

    def at(self, positions: Codes) -> Links:
        """The links of some of the spans, each of which is taken once."""
        place = np.full(max(self.row.max(initial=-1), positions.max(initial=-1)) + 1, -1, np.int64)
        place[positions] = np.arange(len(positions))
        row = place[self.row]
        kept = row >= 0
        return Links(row=row[kept], trace_id=self.trace_id[kept], span_id=self.span_id[kept])


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRows(_Sent):
    """Spans of one instance.

    Attributes:
        peer: the service, database or queue that a span calls, or the queue that it consumes; empty where it
            does neither, or does not say.
        address: where a call without a peer went; goes no further than the collector.
        protocol: what the call is by its semantic conventions (`microservo.domain.telemetry.PROTOCOLS`).
        links: of messages consumed in batches, what was sent; goes no further, either.
    """

    start_us: Int64
    duration_us: Int64
    endpoint: Coded
    peer: Coded
    address: Coded
    kind: UInt8
    protocol: UInt8
    error: UInt8
    trace_id: Ids
    span_id: Ids
    parent_id: Ids
    links: Links | None = None

    @property
    def count(self) -> int:
        return len(self.start_us)

    def at(self, positions: Codes) -> Self:
        """Some of the rows."""
        return replace(
            self,
            start_us=self.start_us[positions],
            duration_us=self.duration_us[positions],
            endpoint=self.endpoint.at(positions),
            peer=self.peer.at(positions),
            address=self.address.at(positions),
            kind=self.kind[positions],
            protocol=self.protocol[positions],
            error=self.error[positions],
            trace_id=self.trace_id[positions],
            span_id=self.span_id[positions],
            parent_id=self.parent_id[positions],
            links=self.links and self.links.at(positions),
        )


Sent = PointRows | DistributionRows
"""Points as they were sent."""
Rows = MetricRows | PointRows | DistributionRows | LogRows | SpanRows


def coded(texts: Iterable[str]) -> Coded:
    """The coded column of one text per row; names stand in the order of their first row.

    Example:
        >>> coded(["a", "b", "a"]).codes.tolist()
        [0, 1, 0]
    """
    found = list(texts)
    names = tuple(dict.fromkeys(found))
    if len(names) == 1:
        # As of the peers of most spans, which are no calls.
        return Coded(names=names, codes=np.zeros(len(found), np.int64))
    index = {name: code for code, name in enumerate(names)}
    return Coded(names=names, codes=np.fromiter(map(index.__getitem__, found), np.int64, len(found)))


def renamed(column: Coded, names: Iterable[str]) -> Coded:
    """The column with a new name in the place of each; those that are given twice become one."""
    index: dict[str, int] = {}
    codes = np.array([index.setdefault(name, len(index)) for name in names], np.int64)
    return Coded(names=tuple(index), codes=codes[column.codes])


def id_column(ids: Iterable[bytes], width: int) -> Ids:
    """The column of ids of `width` bytes each; an empty id becomes zeros."""
    none = bytes(width)
    return np.frombuffer(b"".join([each or none for each in ids]), f"V{width}")
