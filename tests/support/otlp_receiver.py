"""A small receiver of OTLP/HTTP that keeps everything that it was sent."""

from __future__ import annotations

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """Everything that was exported so far, by service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.logs: list[tuple[str, Any]] = []
        self.metrics: list[tuple[str, str, float]] = []
        self.versions: dict[bytes, str] = {}
        """By the id of the span that bore it."""
        self.compressed = True
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.compressed &= self.headers["Content-Encoding"] == "gzip"
                receiver.take(self.path, gzip.decompress(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A killed instance resets its connection; that is no error of the receiver.
        self.server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        {"/v1/traces": self._spans, "/v1/logs": self._logs, "/v1/metrics": self._metrics}[path](body)

    def _spans(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = attributes(resource.resource.attributes)
            spans = [span for scope in resource.scope_spans for span in scope.spans]
            self.spans += [(told["service.name"], span) for span in spans]
            self.versions |= {span.span_id: told["service.version"] for span in spans}

    def _logs(self, body: bytes) -> None:
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            service = attributes(resource.resource.attributes)["service.name"]
            self.logs += [(service, record) for scope in resource.scope_logs for record in scope.log_records]

    def _metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            service = attributes(resource.resource.attributes)["service.name"]
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                points = metric.sum.data_points or metric.gauge.data_points
                self.metrics += [(service, metric.name, point.as_int or point.as_double) for point in points]


def attributes(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}
