"""OTLP requests for tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

T0_US = 1_767_225_600_000_000
"""An instant of tests: 2026-01-01T00:00:00Z."""


def attribute(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def resource(service: str | None = "cart", instance: str | None = "cart-0") -> Resource:
    names = {"service.name": service, "service.instance.id": instance}
    return Resource(attributes=[attribute(key, value) for key, value in names.items() if value is not None])


def span(
    at_us: int = T0_US,
    *,
    name: str = "GetCart",
    duration_us: int = 1500,
    peer: str = "",
    failed: bool = False,
    number: int = 1,
    kind: int = 2,
) -> Span:
    return Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name=name,
        kind=Span.SpanKind.ValueType(kind),
        start_time_unix_nano=at_us * 1000,
        end_time_unix_nano=(at_us + duration_us) * 1000,
        attributes=[attribute("peer.service", peer)] if peer else [],
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
    )


def traces(spans: Sequence[Span], origin: Resource | None = None) -> ExportTraceServiceRequest:
    group = ResourceSpans(resource=origin or resource(), scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[group])


def line(at_us: int = T0_US, body: str = "GetCart served in 3 ms", severity: int = 9) -> LogRecord:
    return LogRecord(
        time_unix_nano=at_us * 1000,
        severity_number=severity,  # type: ignore[arg-type]  # tests send numbers that are none, too
        body=AnyValue(string_value=body),
    )


def logs(lines: Sequence[LogRecord], origin: Resource | None = None) -> ExportLogsServiceRequest:
    group = ResourceLogs(resource=origin or resource(), scope_logs=[ScopeLogs(log_records=lines)])
    return ExportLogsServiceRequest(resource_logs=[group])


def gauge(name: str = "queue.depth", value: float = 3.0, at_us: int = T0_US) -> Metric:
    point = NumberDataPoint(time_unix_nano=at_us * 1000)
    if math.isfinite(value) and value.is_integer():
        point.as_int = int(value)
    else:
        point.as_double = value
    return Metric(name=name, unit="1", gauge=Gauge(data_points=[point]))


def metrics(all_metrics: Sequence[Metric], origin: Resource | None = None) -> ExportMetricsServiceRequest:
    group = ResourceMetrics(resource=origin or resource(), scope_metrics=[ScopeMetrics(metrics=all_metrics)])
    return ExportMetricsServiceRequest(resource_metrics=[group])
