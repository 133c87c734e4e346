"""The OTLP/gRPC contract, against the real server on a broker in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from otlp_requests import gauge, line, logs, metrics, span, traces
from prometheus_client import REGISTRY

from microservo.errors import Unavailable
from microservo.sources.inbox import Inbox
from microservo.sources.otlp.source import OtlpSource
from microservo.testing import eventually
from schemas.codec import decode_as
from schemas.records import SpanBatch
from tests.unit.telemetry_collector.harness import PATIENCE_S, Running, Start

EXPORT_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LETTERS = "telemetry-traces-dlq"


@contextmanager
def channel(running: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as opened:
        yield opened


def exporting(opened: grpc.Channel) -> Any:
    """The method for traces, as an exporter calls it."""
    return TraceServiceStub(opened).Export  # type: ignore[no-untyped-call]  # generated code


def raw(opened: grpc.Channel) -> Callable[..., bytes]:
    """The method for traces, with bytes that need not be a request."""
    call: Callable[..., bytes] = opened.unary_unary(EXPORT_TRACES)
    return call


def failure(call: Callable[..., object], request: object, **options: object) -> tuple[grpc.RpcError, Status]:
    """The error of a call, and the status in its details."""
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=PATIENCE_S, **options)
    details = [
        each.value for each in raised.value.trailing_metadata() if each.key == "grpc-status-details-bin"
    ]
    return raised.value, Status.FromString(b"".join(details))


def refused(reason: str, topic: str = "telemetry-traces") -> float:
    """How many requests were refused so far."""
    labels = {"topic": topic, "reason": reason}
    return REGISTRY.get_sample_value("microservo_refused_bodies_total", labels) or 0.0


@pytest.mark.parametrize(
    ("stub", "request_", "topic"),
    [
        (TraceServiceStub, traces([span()]), "telemetry-traces"),
        (MetricsServiceStub, metrics([gauge()]), "telemetry-metrics"),
        (LogsServiceStub, logs([line()]), "telemetry-logs"),
    ],
)
@pytest.mark.parametrize("packing", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_request_is_answered_once_it_is_on_the_topic(
    start: Start, stub: Callable[..., Any], request_: Message, topic: str, packing: object
) -> None:
    with start() as running, channel(running) as opened:
        answer = stub(opened).Export(request_, timeout=PATIENCE_S, compression=packing)
        assert answer == type(answer)()
        assert len([each for each in running.messages(topic) if each.value]) == 1


def test_bad_records_are_told_while_the_others_flow_on(start: Start) -> None:
    request = traces([span(number=1), span(0, number=2), span(number=3)])
    with start() as running, channel(running) as opened:
        told = exporting(opened)(request, timeout=PATIENCE_S).partial_success
        (batch,) = [each.value for each in running.messages("telemetry-traces") if each.value]
        (letter,) = running.messages(LETTERS)
    assert (told.rejected_spans, told.error_message) == (1, "1 x record has no time")
    assert letter.header("dlq_reason") == b"record has no time"
    assert len(decode_as(SpanBatch, batch).span_id) == 2 * 8


def test_one_broken_text_costs_its_span_alone(start: Start) -> None:
    body = traces([span(name="good"), span(name="SPOILT")]).SerializeToString()
    with start() as running, channel(running) as opened:
        answer = raw(opened)(body.replace(b"SPOILT", b"SP\xff\xfeLT"), timeout=PATIENCE_S)
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1


def test_a_body_that_cannot_be_read_is_invalid_and_kept(start: Start) -> None:
    before = refused("invalid")
    with start() as running, channel(running) as opened:
        error, status = failure(raw(opened), b"\xff\xff no protobuf")
        (letter,) = running.messages(LETTERS)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (status.code, status.message, len(status.details)) == (3, error.details(), 0)
    assert letter.value == b"\xff\xff no protobuf"
    assert letter.header("content-type") == b"application/x-protobuf"
    assert refused("invalid") == before + 1


@pytest.mark.parametrize("packing", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_larger_than_allowed_is_told_the_limit_and_not_to_be_sent_again(
    start: Start, packing: object
) -> None:
    before = refused("unread")
    with start(otlp_body_bytes=100_000) as running, channel(running) as opened:
        error, status = failure(raw(opened), bytes(100_001), compression=packing)
        assert running.messages(LETTERS) == []
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "message is larger than 100000 bytes; send smaller batches"
    assert (status.code, status.message) == (3, error.details())
    assert refused("unread") == before + 1


@pytest.mark.parametrize("packing", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_much_larger_than_allowed_is_left_unread_and_counted(start: Start, packing: object) -> None:
    before = refused("unread")
    with start(otlp_body_bytes=100_000) as running, channel(running) as opened:
        error, _ = failure(raw(opened), bytes(10_000_000), compression=packing)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        eventually(lambda: refused("unread") == before + 1, what="the count")
        assert raw(opened)(traces([span()]).SerializeToString(), timeout=PATIENCE_S) == b""


def test_too_many_records_are_invalid_since_to_send_them_again_does_not_help(start: Start) -> None:
    with start(otlp_body_records=100) as running, channel(running) as opened:
        error, _ = failure(exporting(opened), traces([span()] * 101))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "body holds more than 100 records; send smaller batches"


def retry_s(status: Status) -> float:
    """After how many seconds the sender is asked to send again."""
    (detail,) = status.details
    info = RetryInfo()
    assert detail.Unpack(info)
    return float(info.retry_delay.seconds)


def test_a_full_queue_asks_to_send_again_later(start: Start) -> None:
    request = traces([span()] * 10)
    before = refused("queue_full")
    with start(ship=False, queue_records=15, answer_timeout_s=60) as running, channel(running) as opened:
        export = exporting(opened)
        first = export.future(request, timeout=PATIENCE_S)
        eventually(lambda: running.collector.queued_records, what="the first request in the queue")
        error, status = failure(export, request)
        assert (error.code(), retry_s(status)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
        shipping = threading.Thread(target=running.collector.run, args=(running.shutdown,))
        shipping.start()
        assert first.result() == ExportTraceServiceResponse()
        running.shutdown.request()
        shipping.join()
    assert refused("queue_full") == before + 1


def test_what_kafka_has_not_taken_is_not_acknowledged(start: Start) -> None:
    before = refused("not_durable")
    with start(ship=False, answer_timeout_s=0.05) as running, channel(running) as opened:
        error, status = failure(exporting(opened), traces([span()]))
    assert (error.code(), retry_s(status)) == (grpc.StatusCode.UNAVAILABLE, 1)
    assert refused("not_durable") == before + 1


def test_the_answer_comes_before_the_senders_own_deadline(start: Start) -> None:
    with (
        start(ship=False, answer_timeout_s=60) as running,
        channel(running) as opened,
        pytest.raises(grpc.RpcError) as raised,
    ):
        exporting(opened)(traces([span()]), timeout=1.0)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_another_method_is_told_so_and_counted(start: Start) -> None:
    before = refused("not_found", "")
    with start() as running, channel(running) as opened:
        error, _ = failure(opened.unary_unary("/some.Service/Export"), b"")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused("not_found", "") == before + 1


def test_shutdown_answers_what_is_under_way(start: Start) -> None:
    with start(ship=False, answer_timeout_s=60) as running, channel(running) as opened:
        waiting = exporting(opened).future(traces([span()]), timeout=PATIENCE_S)
        eventually(lambda: running.collector.queued_records, what="the request in the queue")
        running.shutdown.request()
        running.collector.run(running.shutdown)
        assert waiting.result() == ExportTraceServiceResponse()


def test_hundreds_of_senders_wait_at_once_and_hold_no_thread(start: Start) -> None:
    with start(ship=False, answer_timeout_s=60) as running, channel(running) as opened:
        threads_before = threading.active_count()
        export = exporting(opened)
        waiting = [export.future(traces([span()]), timeout=PATIENCE_S) for _ in range(300)]
        eventually(lambda: running.collector.queued_records == 300, what="all requests in the queue")
        assert threading.active_count() <= threads_before + 4
        running.shutdown.request()
        running.collector.run(running.shutdown)
        assert {each.result().SerializeToString() for each in waiting} == {b""}


def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    first = OtlpSource(0, 0)
    first.start(Inbox("test", 10, gather_s=0, enough_records=1))
    try:
        second = OtlpSource(0, first.grpc_port)
        with pytest.raises(
            Unavailable, match=f"port {first.grpc_port} of 127.0.0.1 can't be listened on; give another"
        ):
            second.start(Inbox("test", 10, gather_s=0, enough_records=1))
        second.stop()
    finally:
        first.stop()
