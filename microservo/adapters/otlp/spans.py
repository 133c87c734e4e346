"""Spans to rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from microservo.adapters.otlp.callee import callee_of
from microservo.adapters.otlp.checks import Checks, Decoded, Instants, microseconds
from microservo.adapters.otlp.groups import decode_groups
from microservo.adapters.otlp.resource import Origin, origin_of
from microservo.domain.bounded_names import MAX_NAME_CHARS, cut
from microservo.domain.rows import Links, SpanRows, coded, id_column
from microservo.domain.telemetry import CONSUMER_SPAN, Int64

_LAST_KIND = 5
_MAX_LINKS = 128
"""Of one span; SDKs keep as many."""
_ERROR = Status.STATUS_CODE_ERROR


def decode_spans(request: ExportTraceServiceRequest, instants: Instants) -> Decoded:
    """The spans of a request as rows, one group per resource."""
    return decode_groups(_columns(request), instants)


def _columns(request: ExportTraceServiceRequest) -> Iterator[tuple[Origin, _Columns]]:
    for group in request.resource_spans:
        origin = origin_of(group, group.scope_spans)
        found = _Columns.of_scopes(group.scope_spans, origin.service)
        if found is not None:
            yield origin, found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The fields of many spans, a list for each."""

    records: Sequence[Span]
    service: str
    scopes: list[str]
    start_us: Int64
    end_us: Int64
    names: list[str]
    peers: list[str]
    addresses: list[str]
    kinds: list[int]
    protocols: list[int]
    errors: list[bool]
    trace_ids: list[bytes]
    span_ids: list[bytes]
    parent_ids: list[bytes]

    @classmethod
    def of_scopes(cls, scopes: Sequence[ScopeSpans], service: str) -> _Columns | None:
        """The fields of all spans of some scopes; None where there is none."""
        names: list[str] = []
        for scope in scopes:
            names += [scope.scope.name] * len(scope.spans)
        if not names:
            return None
        return cls.of([span for scope in scopes for span in scope.spans], service, names)

    @classmethod
    def of(cls, spans: Sequence[Span], service: str, scopes: list[str]) -> _Columns:
        kinds: list[int] = [span.kind for span in spans]
        names = _cut([span.name for span in spans])
        callees = list(map(callee_of, spans, kinds, names, scopes, repeat(service)))
        return cls(
            records=spans,
            service=service,
            scopes=scopes,
            start_us=microseconds([span.start_time_unix_nano for span in spans]),
            end_us=microseconds([span.end_time_unix_nano for span in spans]),
            names=names,
            peers=[callee.peer for callee in callees],
            addresses=[callee.address for callee in callees],
            kinds=kinds,
            protocols=[callee.protocol for callee in callees],
            errors=[span.status.code == _ERROR for span in spans],
            trace_ids=[span.trace_id for span in spans],
            span_ids=[span.span_id for span in spans],
            parent_ids=[span.parent_span_id for span in spans],
        )

    @property
    def event_us(self) -> Int64:
        return self.end_us

    def faults(self, now_us: int) -> dict[int, str]:
        checks = Checks()
        checks.refuse_times(self.start_us, now_us)
        checks.refuse_times(self.end_us, now_us)
        checks.refuse(self.end_us < self.start_us, "span ends before it starts")
        checks.refuse_ids(self.trace_ids, 16, "trace id", optional=False)
        checks.refuse_ids(self.span_ids, 8, "span id", optional=False)
        checks.refuse_ids(self.parent_ids, 8, "parent span id", optional=True)
        if not 0 <= min(self.kinds) <= max(self.kinds) <= _LAST_KIND:
            outside = [not 0 <= kind <= _LAST_KIND for kind in self.kinds]
            checks.refuse(outside, f"span kind is not within 0 to {_LAST_KIND}")
        return checks.reasons

    def kept(self, positions: Sequence[int]) -> _Columns:
        scopes = [self.scopes[at] for at in positions]
        return _Columns.of([self.records[at] for at in positions], self.service, scopes)

    def rows(self, origin: Origin) -> SpanRows:
        return SpanRows(
            service=origin.service,
            instance=origin.instance,
            identity=origin.identity,
            scopes=origin.scopes,
            start_us=self.start_us,
            duration_us=self.end_us - self.start_us,
            endpoint=coded(self.names),
            peer=coded(self.peers),
            address=coded(self.addresses),
            kind=np.array(self.kinds, np.uint8),
            protocol=np.array(self.protocols, np.uint8),
            error=np.array(self.errors, np.uint8),
            trace_id=id_column(self.trace_ids, 16),
            span_id=id_column(self.span_ids, 8),
            parent_id=id_column(self.parent_ids, 8),
            links=self._links(),
        )

    def _links(self) -> Links | None:
        """What consumers are linked to: the messages of a batch have senders of their own."""
        if CONSUMER_SPAN not in self.kinds:
            return None
        found = [
            (row, link)
            for row, (span, kind) in enumerate(zip(self.records, self.kinds, strict=True))
            if kind == CONSUMER_SPAN
            for link in span.links[:_MAX_LINKS]
            if len(link.trace_id) == 16 and len(link.span_id) == 8
        ]
        if not found:
            return None
        return Links(
            row=np.array([row for row, _ in found], np.int64),
            trace_id=id_column([link.trace_id for _, link in found], 16),
            span_id=id_column([link.span_id for _, link in found], 8),
        )


def _cut(names: list[str]) -> list[str]:
    return list(map(cut, names)) if max(map(len, names), default=0) > MAX_NAME_CHARS else names
