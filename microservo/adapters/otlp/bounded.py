"""The requests of a body, with a bound on what they become in memory."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from microservo.adapters.otlp.media import Media, TooManyRecords
from microservo.adapters.otlp.requests import Request, parse
from microservo.adapters.otlp.wire import pieces
from microservo.domain.telemetry import Signal

_LEAST_BYTES = 2
"""An empty record takes so many in protobuf, and three in JSON."""
_VALUES_PER_RECORD = 10
"""In JSON it is values that take memory; a span has some twenty, and JSON is for small senders."""


def requests_of(signal: Signal, media: Media, body: bytes, limit_records: int) -> Iterator[Request]:
    """The request of a body; one of more than 2 MiB in several, to be used one after another.

    Args:
        signal: what the body is to hold.
        media: how it is written.
        body: unpacked.
        limit_records: how many records and groups of records it may hold; in JSON ten values for each.

    Raises:
        InvalidMessage: it can't be read.
        TooLarge: it holds more, or a single record of more than 2 MiB.
    """
    if media is Media.JSON:
        _refuse_many_values(body, limit_records * _VALUES_PER_RECORD)
    left = limit_records
    # Of what a walk meets half may be resources and scopes.
    for piece in pieces(body, 2 * limit_records) if media is Media.PROTOBUF else (body,):
        request = parse(signal, media, piece)
        # Counting takes time, and most bodies are too small to hold so many.
        if len(body) > _LEAST_BYTES * limit_records:
            left -= _count(request)
            if left < 0:
                raise TooManyRecords.beyond(limit_records)
        yield request


def _refuse_many_values(body: bytes, limit: int) -> None:
    # Each value is the first of an object or an array, or stands behind a comma; those in texts count, too.
    values = body.count(b",") + body.count(b"{") + body.count(b"[")
    if values > limit:
        raise TooManyRecords.beyond(limit, "values")


def _count(request: Request) -> int:
    """Records and the groups that hold them; of metrics, each data point, too."""
    if isinstance(request, ExportTraceServiceRequest):
        return sum(
            1 + sum(1 + len(scope.spans) for scope in group.scope_spans) for group in request.resource_spans
        )
    if isinstance(request, ExportLogsServiceRequest):
        return sum(
            1 + sum(1 + len(scope.log_records) for scope in group.scope_logs)
            for group in request.resource_logs
        )
    return sum(
        1 + sum(1 + sum(map(_points, scope.metrics)) for scope in group.scope_metrics)
        for group in request.resource_metrics
    )


def _points(metric: Metric) -> int:
    kind = metric.WhichOneof("data")
    return 1 + (len(getattr(metric, kind).data_points) if kind else 0)
