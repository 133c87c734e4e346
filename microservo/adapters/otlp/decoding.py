"""A request of any signal to rows."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from microservo.adapters.otlp.checks import Decoded
from microservo.adapters.otlp.logs import decode_logs
from microservo.adapters.otlp.metrics import decode_metrics
from microservo.adapters.otlp.requests import Request
from microservo.adapters.otlp.spans import decode_spans


def decode(request: Request, now_us: int) -> Decoded:
    """The rows of a request, and the records that can't be used.

    Args:
        request: of any signal.
        now_us: epoch microseconds UTC; what lies more than five seconds after it is future-dated.
    """
    if isinstance(request, ExportTraceServiceRequest):
        return decode_spans(request, now_us)
    if isinstance(request, ExportLogsServiceRequest):
        return decode_logs(request, now_us)
    return decode_metrics(request, now_us)
