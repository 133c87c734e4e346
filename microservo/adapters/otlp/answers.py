"""The bodies of answers, in the encoding of the request."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it has stubs but no py.typed
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from microservo.adapters.otlp.media import Media
from microservo.domain.telemetry import Signal

# google.rpc.Code of each HTTP status that is answered.
_CODES = {400: 3, 404: 5, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14}


def success(signal: Signal, media: Media, *, rejected: int = 0, reason: str = "") -> bytes:
    """The body of a 200; `partial_success` is set only when records were rejected, as OTLP asks."""
    return _encoded(_response(signal, rejected, reason), media)


def failure(status: int, reason: str, media: Media) -> bytes:
    """The body of any other answer: a google.rpc.Status."""
    return _encoded(Status(code=_CODES[status], message=reason), media)


def _response(signal: Signal, rejected: int, reason: str) -> Message:
    if signal == "traces":
        spans = ExportTracePartialSuccess(rejected_spans=rejected, error_message=reason)
        return ExportTraceServiceResponse(partial_success=spans if rejected else None)
    if signal == "logs":
        lines = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=reason)
        return ExportLogsServiceResponse(partial_success=lines if rejected else None)
    points = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=reason)
    return ExportMetricsServiceResponse(partial_success=points if rejected else None)


def _encoded(message: Message, media: Media) -> bytes:
    if media is Media.JSON:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()
