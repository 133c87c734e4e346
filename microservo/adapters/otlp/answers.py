"""What becomes of a request, and the bodies of answers in the encoding of the request."""

from __future__ import annotations

from enum import Enum

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # stubs, but no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
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

RETRY_AFTER_S = 1


class Refusal(Enum):
    """Why a request is refused: its name in metrics, its status in HTTP, its `google.rpc.Code`.

    A sender repeats what is answered 429 or 503; in gRPC, RESOURCE_EXHAUSTED with `RetryInfo`, or
    UNAVAILABLE. What can never be accepted is INVALID_ARGUMENT there, since some exporters repeat every
    RESOURCE_EXHAUSTED.

    Source: opentelemetry-proto, docs/specification.md, "Failures" and "OTLP/HTTP Response".
    """

    FOREIGN_HOST = ("foreign_host", 403, 7)
    NOT_FOUND = ("not_found", 404, 12)
    METHOD = ("method", 405, 12)
    UNSUPPORTED = ("unsupported", 415, 3)
    INVALID = ("invalid", 400, 3)
    UNREAD = ("unread", 413, 3)
    TOO_LARGE = ("too_large", 413, 3)
    TOO_MANY_RECORDS = ("too_many_records", 413, 3)
    MEMORY_FULL = ("memory_full", 429, 8)
    QUEUE_FULL = ("queue_full", 429, 8)
    NOT_DURABLE = ("not_durable", 503, 14)
    CLOSING = ("closing", 503, 14)

    def __init__(self, reason: str, http_status: int, code: int) -> None:
        self.reason = reason
        self.http_status = http_status
        self.code = code

    @property
    def is_kept(self) -> bool:
        """Whether the body goes to the dead letters."""
        return self in (Refusal.INVALID, Refusal.TOO_LARGE, Refusal.TOO_MANY_RECORDS)

    @property
    def is_for_now(self) -> bool:
        """Whether the sender is asked to send the same again."""
        return self.http_status in (429, 503)


def success(signal: Signal, media: Media, *, rejected: int = 0, reason: str = "") -> bytes:
    """The body of a 200; `partial_success` is set only when records were rejected, as OTLP asks."""
    return _encoded(_response(signal, rejected, reason), media)


def failure(refusal: Refusal, text: str, media: Media) -> bytes:
    """The body of any other answer: a `google.rpc.Status`, with `RetryInfo` where to send again helps."""
    status = Status(code=refusal.code, message=text)
    if refusal.is_for_now:
        retry = RetryInfo()
        retry.retry_delay.seconds = RETRY_AFTER_S
        status.details.add().Pack(retry)
    return _encoded(status, media)


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
