"""The export requests of the three signals, read from either encoding within a bound on memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from microservo.adapters.otlp.checks import Refused
from microservo.adapters.otlp.envelope import pieces, salvage
from microservo.adapters.otlp.json_requests import parse_json
from microservo.adapters.otlp.media import Media, TooManyRecords
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidMessage

Request = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest
_REQUESTS: dict[Signal, type[Request]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
_NAMES: dict[Signal, tuple[str, str, str]] = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "metrics": ("resource_metrics", "scope_metrics", "metrics"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
}
"""The fields of group, scope and record."""
_LEAST_BYTES = 2
"""An empty record takes so many in protobuf, and three in JSON."""
_VALUES_PER_RECORD = 10
"""In JSON it is values that take memory; a span has some twenty, and JSON is for small senders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What could be read of a piece of a body, and the records that could not."""

    request: Request
    refused: tuple[Refused, ...] = ()


def read_requests(signal: Signal, media: Media, body: bytes, limit_records: int) -> Iterator[Parsed]:
    """The request of a body; one of more than 2 MiB in several, to be used one after another.

    Args:
        signal: what the body is to hold.
        media: how it is written.
        body: unpacked.
        limit_records: how many records and groups of records it may hold; in JSON ten values for each.

    Raises:
        InvalidMessage: it can't be read.
        TooLarge: it holds more, or a resource of more than 2 MiB.
    """
    if media is Media.JSON:
        _refuse_many_values(body, limit_records * _VALUES_PER_RECORD)
    left = limit_records
    try:
        for parsed in _parsed(signal, media, body, limit_records):
            # Counting takes time, and most bodies are too small to hold so many.
            if len(body) > _LEAST_BYTES * limit_records:
                left -= _count(parsed.request)
                if left < 0:
                    raise TooManyRecords.beyond(limit_records)
            yield parsed
    except DecodeError as error:
        msg = f"body of {len(body)} bytes is no {_REQUESTS[signal].__name__}: {error}"
        raise InvalidMessage(msg) from error


def _parsed(signal: Signal, media: Media, body: bytes, limit_records: int) -> Iterator[Parsed]:
    if media is Media.PROTOBUF:
        for piece in pieces(body, limit_records):
            if isinstance(piece, Refused):
                yield Parsed(request=_REQUESTS[signal](), refused=(piece,))
            else:
                yield _parse_protobuf(signal, piece)
        return
    request = _REQUESTS[signal]()
    refused = parse_json(body, request, _NAMES[signal])
    yield Parsed(request=request, refused=tuple(refused))


def _parse_protobuf(signal: Signal, piece: bytes) -> Parsed:
    request = _REQUESTS[signal]()
    try:
        request.ParseFromString(piece)
    except DecodeError:
        request.Clear()
        return Parsed(request=request, refused=tuple(salvage(piece, request, _NAMES[signal])))
    return Parsed(request=request)


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
