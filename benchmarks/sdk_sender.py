"""The exporter of the Python SDK: `python -m benchmarks.sdk_sender http PORT SPANS SECONDS`.

It sends one batch after another. This is what an application with an SDK gets; most of the time goes into
making the request.
"""

from __future__ import annotations

import argparse
import json
import time

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.senders import ATTRIBUTES, FRESH_S, WARM_UP_S


def spans_of(service: str, count: int) -> tuple[ReadableSpan, ...]:
    """Spans that ended just now, as an instrumented application makes them."""
    finished = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(finished))
    tracer = provider.get_tracer("benchmark")
    for _ in range(count):
        with tracer.start_as_current_span("GET /cart/{id}", attributes=ATTRIBUTES):
            pass
    return finished.get_finished_spans()


def exporter(kind: str, port: int) -> SpanExporter:
    """The SDK's exporter at its defaults."""
    if kind == "http":
        return HttpExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces")
    return GrpcExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True)


def measured(sender: SpanExporter, spans: int, seconds: float) -> dict[str, float]:
    """Spans that were answered within so many seconds, after a warm-up."""
    began_s = time.monotonic()
    made_s = -FRESH_S
    batch: tuple[ReadableSpan, ...] = ()
    warm_up = answered = 0
    while (now_s := time.monotonic()) < began_s + WARM_UP_S + seconds:
        if now_s - made_s > FRESH_S:
            batch, made_s = spans_of("bench-sdk", spans), now_s
        if sender.export(batch) is not SpanExportResult.SUCCESS:
            msg = "the collector refused a batch"
            raise RuntimeError(msg)
        answered += 1
        warm_up += now_s < began_s + WARM_UP_S
    return {
        "spans": (answered - warm_up) * spans,
        "elapsed_s": seconds,
        "spans_with_warm_up": answered * spans,
    }


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("http", "grpc"))
    parser.add_argument("port", type=int)
    parser.add_argument("spans", type=int, help="in each request")
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    print(json.dumps(measured(exporter(given.kind, given.port), given.spans, given.seconds)))


if __name__ == "__main__":
    main()
