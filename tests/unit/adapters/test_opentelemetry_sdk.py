from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.trace import SpanKind

from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.testing import eventually


@pytest.fixture
def received() -> Iterator[tuple[str, set[str]]]:
    """The URL of a collector, and the paths that something was sent to."""
    paths: set[str] = set()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.add(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "said",
    [
        {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "content-length=0", "OTEL_BSP_MAX_QUEUE_SIZE": "0"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_what_the_shell_says_silences_no_target(
    said: dict[str, str], received: tuple[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    url, paths = received
    telemetry = Instrumentation(service="shop", instance="shop-0", otlp_url=url)
    with telemetry.tracer.start_as_current_span("GET /"):
        telemetry.log("INFO", "a line")
    telemetry.gauge("orders", lambda: 1.0)
    try:
        everything = {"/v1/traces", "/v1/logs", "/v1/metrics"}
        eventually(lambda: paths >= everything, timeout_s=30, what="spans, logs and metrics")
    finally:
        telemetry.shutdown(5)


def test_a_trace_has_the_id_that_it_is_started_with_and_the_next_one_has_another() -> None:
    telemetry = Instrumentation(service="shop", instance="shop-0", otlp_url="http://127.0.0.1:9")
    try:
        given = telemetry.start_trace("Home", 7, kind=SpanKind.CLIENT, attributes={})
        other = telemetry.tracer.start_span("Home")
        assert given.get_span_context().trace_id == 7
        assert other.get_span_context().trace_id != 7
    finally:
        telemetry.shutdown(1)
