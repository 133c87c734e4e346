from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.trace import SpanKind
from otlp_receiver import Receiver

from microservo.adapters import opentelemetry_sdk
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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def readers() -> int:
    """Threads that read metrics; the receiver has some for its connections."""
    return sum(thread.name.startswith("OtelPeriodic") for thread in threading.enumerate())


def test_what_begins_after_a_release_bears_its_version_and_what_began_before_keeps_its_own(
    receiver: Receiver,
) -> None:
    telemetry = Instrumentation(service="shop", instance="shop-0", otlp_url=receiver.url)
    telemetry.gauge("orders", lambda: 7.0)
    running = readers()
    before = telemetry.tracer.start_span("before")
    telemetry.release("1.1.0")
    after = telemetry.tracer.start_span("after")
    for span in (after, before):
        span.end()
    try:
        eventually(lambda: len(receiver.versions) == 2, timeout_s=30, what="both spans")
        versions = {span.name: receiver.versions[span.span_id] for _, span in receiver.spans}
        assert versions == {"before": "1.0.0", "after": "1.1.0"}
        eventually(lambda: readers() == running, timeout_s=30, what="as many threads as before")
        seen = len(receiver.metrics)
        eventually(
            lambda: ("shop", "orders", 7.0) in receiver.metrics[seen:], timeout_s=30, what="metrics to go on"
        )
    finally:
        telemetry.shutdown(5)


def test_all_that_is_sent_has_the_times_of_the_clock_that_was_given(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in opentelemetry_sdk._TIMED:
        # So that it is set right again afterwards.
        monkeypatch.setattr(importlib.import_module(name), "time_ns", time.time_ns)
    hour_ns = 3_600_000_000_000
    times: list[int] = []
    monkeypatch.setattr(receiver, "_metrics", lambda body: times.extend(point_times(body)))
    telemetry = Instrumentation(
        service="shop", instance="shop-0", otlp_url=receiver.url, clock_ns=lambda: time.time_ns() - hour_ns
    )
    telemetry.gauge("orders", lambda: 7.0)
    with telemetry.tracer.start_as_current_span("GET /") as span:
        telemetry.log("INFO", "a line", span)
    try:
        eventually(
            lambda: times and receiver.spans and receiver.logs, timeout_s=30, what="spans, lines and points"
        )
    finally:
        telemetry.shutdown(5)
    (_, sent), (_, line) = receiver.spans[0], receiver.logs[0]
    told = [sent.start_time_unix_nano, sent.end_time_unix_nano, line.time_unix_nano, times[0]]
    assert all(abs(time.time_ns() - hour_ns - each) < hour_ns / 10 for each in told), told


def point_times(body: bytes) -> list[int]:
    request = ExportMetricsServiceRequest.FromString(body)
    scopes = [scope for resource in request.resource_metrics for scope in resource.scope_metrics]
    points = [point for scope in scopes for metric in scope.metrics for point in metric.gauge.data_points]
    return [point.time_unix_nano for point in points]
