"""The OTLP/HTTP contract, against the real server on a broker in memory."""

from __future__ import annotations

import gzip
import json
import threading
import zlib

import pytest
import zstandard
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp_requests import T0_US, attribute, gauge, line, logs, metrics, resource, span, traces

from microservo.adapters.otlp.json_requests import to_json
from microservo.domain.telemetry import span_columns
from microservo.testing import eventually
from schemas.catalogue import SERVICE_GRAPH, SERVICE_INSTANCES
from schemas.codec import decode_as
from schemas.envelope import HEARTBEAT_KEY, Stamp
from schemas.records import LogBatch, MetricBatch, ServiceGraph, ServiceInstance, SpanBatch
from tests.unit.telemetry_collector.harness import PARTITIONS, Running, Start

JSON = "application/json"
ALL = [
    ("/v1/traces", traces([span()]), ExportTraceServiceResponse, "telemetry-traces"),
    ("/v1/metrics", metrics([gauge()]), ExportMetricsServiceResponse, "telemetry-metrics"),
    ("/v1/logs", logs([line()]), ExportLogsServiceResponse, "telemetry-logs"),
]


def records(running: Running, topic: str) -> list[bytes]:
    """What senders sent; heartbeats are left out."""
    return [message.value for message in running.messages(topic) if message.value is not None]


@pytest.mark.parametrize(("path", "request_", "response", "topic"), ALL)
def test_protobuf_is_answered_in_protobuf_once_it_is_on_the_topic(
    start: Start, path: str, request_: Message, response: type[Message], topic: str
) -> None:
    body = request_.SerializeToString()
    packings = [
        (body, None),
        (gzip.compress(body), "gzip"),
        (zlib.compress(body), "deflate"),
        (zstandard.compress(body), "zstd"),
    ]
    with start() as running:
        for sent, encoding in packings:
            answer = running.send(path, sent, encoding=encoding)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-protobuf")
            assert response.FromString(answer.body) == response()
        assert len(records(running, topic)) == len(packings)


@pytest.mark.parametrize(("path", "request_", "topic"), [(path, body, topic) for path, body, _, topic in ALL])
def test_json_is_answered_in_json(start: Start, path: str, request_: Message, topic: str) -> None:
    with start() as running:
        answer = running.send(path, json.dumps(to_json(request_)).encode(), f"{JSON}; charset=utf-8")
        assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, JSON, b"{}")
        assert len(records(running, topic)) == 1


def test_what_is_on_the_topics_is_what_was_sent(start: Start) -> None:
    with start() as running:
        running.send("/v1/traces", traces([span(number=9, peer="redis", kind=3)]).SerializeToString())
        running.send("/v1/logs", logs([line(body="cache 7 lost")]).SerializeToString())
        running.send("/v1/metrics", metrics([gauge(value=0.25)]).SerializeToString())
        (spans,), (lines,), (points,) = (records(running, topic) for *_, topic in (ALL[0], ALL[2], ALL[1]))
    found = decode_as(SpanBatch, spans)
    assert (found.run_id, found.service, found.instances) == ("run-1", "cart", ("cart-0",))
    assert (found.endpoints, found.peers) == (("GetCart",), ("redis",))
    assert span_columns(found).time_us.tolist() == [T0_US + 1500]
    assert found.trace_id == (9).to_bytes(16, "big")
    log = decode_as(LogBatch, lines)
    assert (log.templates, log.bodies) == (("cache <*> lost",), ("cache 7 lost",))
    assert decode_as(MetricBatch, points).names == ("queue.depth",)


def test_messages_are_keyed_by_service_and_stamped_without_gaps(start: Start) -> None:
    with start() as running:
        for number in range(1, 6):
            for service in ("cart", "ad", "checkout"):
                body = traces([span(number=number)] * number, resource(service)).SerializeToString()
                running.send("/v1/traces", body)
        found = running.messages("telemetry-traces")
    by_partition: dict[int, list[Stamp]] = {}
    for message in found:
        by_partition.setdefault(message.partition, []).append(Stamp.read(message.headers))
        assert dict(message.headers)["run"] == b"run-1"
        if message.value is not None:
            assert message.key == decode_as(SpanBatch, message.value).service.encode()
    assert set(by_partition) == set(range(PARTITIONS))
    for stamps in by_partition.values():
        assert [stamp.sequence for stamp in stamps] == list(range(len(stamps)))
        assert {stamp.writer for stamp in stamps} == {"telemetry-collector"}
    assert sum(stamps[-1].total for stamps in by_partition.values()) == 3 * (1 + 2 + 3 + 4 + 5)


def test_every_partition_of_every_topic_has_heartbeats(start: Start) -> None:
    everywhere = {(topic, partition) for *_, topic in ALL for partition in range(PARTITIONS)}
    with start() as running:

        def silence_then_look() -> bool:
            running.clock.advance(500_000)
            return _heartbeats(running) >= everywhere

        eventually(silence_then_look, what="heartbeats everywhere")


def _heartbeats(running: Running) -> set[tuple[str, int]]:
    """Where there is one."""
    found = [(topic, message) for *_, topic in ALL for message in running.messages(topic)]
    return {(topic, message.partition) for topic, message in found if message.key == HEARTBEAT_KEY}


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "kept_type"),
    [
        (b"\xff\xff no protobuf", "application/x-protobuf", None, b"application/x-protobuf"),
        (b"{ no json", JSON, None, b"application/json"),
        (b"no gzip", JSON, "gzip", b"application/json; encoding=gzip"),
    ],
)
def test_a_body_that_cannot_be_read_is_answered_400_and_kept_with_its_bytes(
    start: Start, body: bytes, content_type: str, encoding: str | None, kept_type: bytes
) -> None:
    with start() as running:
        answer = running.send("/v1/traces", body, content_type, encoding=encoding)
        assert (answer.status, answer.headers["Content-Type"]) == (400, content_type)
        (letter,) = running.messages("telemetry-traces-dlq")
        assert records(running, "telemetry-traces") == []
        assert running.send("/v1/traces", traces([span()]).SerializeToString()).status == 200
    assert letter.value == body
    assert letter.header("content-type") == kept_type
    reason = (letter.header("dlq_reason") or b"").decode()
    if content_type == JSON:
        assert json.loads(answer.body) == {"code": 3, "message": reason}
    else:
        assert Status.FromString(answer.body) == Status(code=3, message=reason)


def test_bad_records_are_put_aside_and_told_while_the_others_flow_on(start: Start) -> None:
    body = traces([span(number=1), span(0, number=2), span(number=3)]).SerializeToString()
    with start() as running:
        answer = running.send("/v1/traces", body)
        (letter,) = running.messages("telemetry-traces-dlq")
        (batch,) = records(running, "telemetry-traces")
    told = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_spans) == (200, 1)
    assert told.error_message == "1 x record has no time"
    assert json.loads(letter.value or b"")["record"]["spanId"] == (2).to_bytes(8, "big").hex()
    assert letter.header("dlq_reason") == b"record has no time"
    assert letter.header("content-type") == b"application/json"
    assert len(span_columns(decode_as(SpanBatch, batch)).time_us) == 2


def test_partial_success_is_told_in_json_and_for_each_signal(start: Start) -> None:
    with start() as running:
        bad_lines = json.dumps(to_json(logs([line(1), line()]))).encode()
        answer = running.send("/v1/logs", bad_lines, JSON)
        assert json.loads(answer.body)["partialSuccess"]["rejectedLogRecords"] == "1"
        bad_points = metrics([gauge(value=float("nan"))]).SerializeToString()
        answer = running.send("/v1/metrics", bad_points)
        told = ExportMetricsServiceResponse.FromString(answer.body).partial_success
        assert (answer.status, told.rejected_data_points) == (200, 1)


@pytest.mark.parametrize(
    ("content_type", "encoding"), [(None, None), ("text/plain", None), (JSON, "snappy"), (JSON, "gzip, gzip")]
)
def test_other_types_and_compressions_are_answered_415(
    start: Start, content_type: str | None, encoding: str | None
) -> None:
    with start() as running:
        answer = running.send("/v1/logs", b"{}", content_type, encoding=encoding)
        assert answer.status == 415
        assert "send" in json.loads(answer.body)["message"]


def test_an_error_is_a_status_in_the_encoding_of_the_request(start: Start) -> None:
    with start() as running:
        answer = running.send("/v1/logs", b"x", "application/x-protobuf", encoding="snappy")
        assert (answer.status, Status.FromString(answer.body).code) == (415, 3)
        answer = running.send("/v1/profiles", b"x", "application/x-protobuf")
        assert (answer.status, Status.FromString(answer.body).code) == (404, 12)
        answer = running.send("/v1/profiles", b"x", JSON)
        assert (answer.status, json.loads(answer.body)["code"]) == (404, 12)


def test_a_slash_at_the_end_of_the_path_changes_nothing(start: Start) -> None:
    with start() as running:
        assert running.send("/v1/traces/", traces([span()]).SerializeToString()).status == 200
        assert len(records(running, "telemetry-traces")) == 1


def test_thousands_of_equal_stack_traces_pass_whatever_packs_them(start: Start) -> None:
    """What a retry loop writes, in the largest batch that a Collector sends by default."""
    trace = "\n".join(f"\tat com.example.shop.Cart.step{at}(Cart.java:{at})" for at in range(80))
    body = logs([line(body=trace)] * 8192).SerializeToString()
    packed = {
        "gzip": gzip.compress(body, 9),
        "deflate": zlib.compress(body, 9),
        "zstd": zstandard.compress(body, 19),
    }
    assert len(body) > 30_000_000
    assert len(body) / len(packed["zstd"]) > 5_000
    with start() as running:
        for encoding, sent in packed.items():
            assert running.send("/v1/logs", sent, encoding=encoding).status == 200


def test_other_paths_and_methods_are_answered_404_and_405(start: Start) -> None:
    with start() as running:
        assert running.send("/v1/profiles", b"").status == 404
        answer = running.send("/v1/traces", b"", method="GET")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_a_gzip_bomb_is_answered_413(start: Start) -> None:
    with start(otlp_body_bytes=100_000) as running:
        answer = running.send("/v1/traces", gzip.compress(bytes(10_000_000)), encoding="gzip")
        assert (answer.status, answer.headers["Content-Type"]) == (413, "application/x-protobuf")
        assert Status.FromString(answer.body).code == 3
        assert len(running.messages("telemetry-traces-dlq")) == 1


def test_a_large_plain_body_is_answered_413(start: Start) -> None:
    with start(otlp_body_bytes=100_000) as running:
        assert running.send("/v1/traces", bytes(100_001)).status == 413


def test_an_empty_request_is_answered_at_once(start: Start) -> None:
    with start(ship=False) as running:
        assert running.send("/v1/traces", b"").status == 200
        assert running.send("/v1/traces", b"{}", JSON).body == b"{}"


def test_a_full_queue_is_answered_429_until_kafka_has_taken_it(start: Start) -> None:
    body = traces([span()] * 10).SerializeToString()
    with start(ship=False, queue_records=29, answer_timeout_s=60) as running:
        statuses: list[int] = []
        waiting = [
            threading.Thread(target=lambda: statuses.append(running.send("/v1/traces", body).status))
            for _ in range(2)
        ]
        for thread in waiting:
            thread.start()
        refused = eventually(lambda: _refused(running, body), what="a refusal")
        assert refused == (429, "1")
        shipping = threading.Thread(target=running.collector.run, args=(running.shutdown,))
        shipping.start()
        for thread in waiting:
            thread.join()
        assert statuses == [200, 200]
        assert running.send("/v1/traces", body).status == 200
        running.shutdown.request()
        shipping.join()


def _refused(running: Running, body: bytes) -> tuple[int, str] | None:
    """The answer to a request that is told to come back."""
    if running.collector.queued_records < 20:
        return None
    answer = running.send("/v1/traces", body)
    return answer.status, answer.headers["Retry-After"]


def test_one_request_larger_than_the_queue_is_let_in_alone(start: Start) -> None:
    with start(queue_records=5) as running:
        assert running.send("/v1/traces", traces([span()] * 10).SerializeToString()).status == 200


def test_rows_that_kafka_has_not_taken_are_not_acknowledged(start: Start) -> None:
    with start(ship=False, answer_timeout_s=0.05) as running:
        answer = running.send("/v1/traces", traces([span()]).SerializeToString())
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert records(running, "telemetry-traces") == []


def test_shutdown_answers_what_is_under_way_and_ships_it(start: Start) -> None:
    statuses: list[int] = []
    # A call of nobody known waits for its callee, so the request is under way for a while.
    call = span(kind=3)
    call.attributes.append(attribute("server.address", "10.0.0.7"))
    with start(callee_wait_s=0.5) as running:
        body = traces([call]).SerializeToString()
        sender = threading.Thread(target=lambda: statuses.append(running.send("/v1/traces", body).status))
        sender.start()
        eventually(lambda: running.collector.queued_records or statuses, what="the request in the queue")
        running.shutdown.request()
        sender.join()
        assert len(records(running, "telemetry-traces")) == 1
    assert statuses == [200]


def test_a_shutdown_loses_no_calls_and_no_instance_that_were_not_due_yet(start: Start) -> None:
    with start() as running:
        call = traces([span(number=1, peer="cart", kind=3)], resource("frontend"))
        assert running.send("/v1/traces", call.SerializeToString()).status == 200
        assert running.messages(SERVICE_GRAPH) == []
    (graph,) = [decode_as(ServiceGraph, each.value or b"") for each in running.messages(SERVICE_GRAPH)]
    instances = [
        decode_as(ServiceInstance, each.value or b"") for each in running.messages(SERVICE_INSTANCES)
    ]
    assert (graph.callers, graph.callees, graph.calls) == (("frontend",), ("cart",), (1,))
    assert [each.service for each in instances] == ["frontend"]


def test_calls_are_told_on_the_service_graph(start: Start) -> None:
    spans = [span(number=1, peer="cart", kind=3), span(number=2, peer="cart", kind=3, failed=True), span()]
    with start() as running:
        running.send("/v1/traces", traces(spans, resource("frontend")).SerializeToString())
        assert running.messages(SERVICE_GRAPH) == []
        running.clock.advance(5_000_000)
        (message,) = eventually(lambda: running.messages(SERVICE_GRAPH), what="the graph")
    graph = decode_as(ServiceGraph, message.value or b"")
    assert (message.key, message.header("run")) == (b"run-1", b"run-1")
    assert (graph.callers, graph.callees, graph.calls, graph.errors) == (("frontend",), ("cart",), (2,), (1,))
    assert graph.end_us - graph.start_us == 5_000_000


def test_calls_of_an_agent_that_names_no_peer_are_on_the_graph_and_in_the_spans(start: Start) -> None:
    call = span(number=1, kind=3)
    call.attributes.append(attribute("server.address", "10.0.0.7"))
    served = span(number=1, name="GetCart")
    served.span_id, served.parent_span_id = (2).to_bytes(8, "big"), (1).to_bytes(8, "big")
    bodies = [traces([call], resource("frontend")), traces([served], resource("cart"))]
    with start(callee_wait_s=60) as running:
        statuses: list[int] = []
        senders = [
            threading.Thread(
                target=lambda body=body: statuses.append(running.send("/v1/traces", body).status)
            )
            for body in [each.SerializeToString() for each in bodies]
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        running.clock.advance(5_000_000)
        (message,) = eventually(lambda: running.messages(SERVICE_GRAPH), what="the graph")
        batches = [decode_as(SpanBatch, each) for each in records(running, "telemetry-traces")]
    assert statuses == [200, 200]
    graph = decode_as(ServiceGraph, message.value or b"")
    assert (graph.callers, graph.callees, graph.calls) == (("frontend",), ("cart",), (1,))
    assert {batch.service: batch.peers for batch in batches} == {"frontend": ("cart",), "cart": ("",)}


def test_what_is_too_old_for_any_window_is_told_and_still_on_the_topic(start: Start) -> None:
    # The clock stands at T0 + 1 s: windows of 5 s that ended 30 s before are closed.
    old = [span(T0_US - 36_000_000, number=1), span(T0_US - 29_000_000, number=2)]
    with start() as running:
        answer = running.send("/v1/traces", traces(old).SerializeToString())
        (batch,) = records(running, "telemetry-traces")
        assert running.messages("telemetry-traces-dlq") == []
    told = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_spans) == (200, 1)
    assert "too old for any window" in told.error_message
    assert len(span_columns(decode_as(SpanBatch, batch)).time_us) == 2


def test_one_broken_text_costs_its_line_alone(start: Start) -> None:
    lines = [line(body="good"), line(body="SPOILT"), line(body="good")]
    body = logs(lines).SerializeToString().replace(b"SPOILT", b"SP\xff\xfeLT")
    with start() as running:
        answer = running.send("/v1/logs", body)
        (letter,) = running.messages("telemetry-logs-dlq")
        (batch,) = records(running, "telemetry-logs")
    told = ExportLogsServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_log_records) == (200, 1)
    assert told.error_message == "1 x LogRecord can't be read: String field had bad UTF-8"
    assert letter.header("content-type") == b"application/x-protobuf"
    assert decode_as(LogBatch, batch).bodies == ("good", "good")
