"""The body of a request of any signal to rows."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from microservo.adapters.otlp.checks import Decoded, Instants, joined
from microservo.adapters.otlp.line_ids import LineIds
from microservo.adapters.otlp.logs import decode_logs
from microservo.adapters.otlp.media import Media
from microservo.adapters.otlp.metrics import decode_metrics
from microservo.adapters.otlp.requests import Request, read_requests
from microservo.adapters.otlp.spans import decode_spans
from microservo.domain.telemetry import Signal


def decode_body(signal: Signal, media: Media, body: bytes, instants: Instants, limit_records: int) -> Decoded:
    """The rows of a body, and the records that can't be used.

    Args:
        signal: what the body is to hold.
        media: how it is written.
        body: unpacked.
        instants: what the times of records are judged by.
        limit_records: how many records it may hold.

    Raises:
        InvalidMessage: the body can't be read.
        TooLarge: it holds more records, or a resource of more than 2 MiB.
    """
    line_ids = LineIds(body)
    parts: list[Decoded] = []
    for parsed in read_requests(signal, media, body, limit_records):
        parts += [Decoded(refused=parsed.refused), decode(parsed.request, instants, line_ids)]
    return joined(parts)


def decode(request: Request, instants: Instants, line_ids: LineIds) -> Decoded:
    """The rows of a request, and the records that can't be used.

    Args:
        request: of any signal.
        instants: what the times of records are judged by.
        line_ids: of the body that the request is of.
    """
    if isinstance(request, ExportTraceServiceRequest):
        return decode_spans(request, instants)
    if isinstance(request, ExportLogsServiceRequest):
        return decode_logs(request, instants, line_ids)
    return decode_metrics(request, instants)
