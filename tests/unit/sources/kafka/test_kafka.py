"""Messages of OpenTelemetry, Jaeger, Filebeat, Fluent Bit and Prometheus' adapter.

Those of `tests/golden/kafka` were written by a real OpenTelemetry Collector (tests/support/otel_collector),
which has the encodings of Jaeger too; Filebeat, Fluent Bit and the adapter are as they document themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from otlp_requests import T0_US, line, logs, resource, span, traces

from microservo.adapters.broker import Message, TopicSpec
from microservo.domain.rows import LogRows, PointRows, SpanRows
from microservo.errors import InvalidMessage
from microservo.sources.kafka.decoding import Decoded, decode_messages
from microservo.sources.kafka.formats import format_of
from microservo.sources.kafka.settings import KafkaSettings
from microservo.sources.kafka.tail import KafkaTail
from microservo.testing import ManualClock, MemoryBroker

NOW_US = T0_US + 60_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
OTLP_SPANS = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": TRACE,
                            "spanId": "b7ad6b7169203331",
                            "parentSpanId": "a7ad6b7169203331",
                            "name": "GetCart",
                            "kind": 2,
                            "startTimeUnixNano": str(T0_US * 1000),
                            "endTimeUnixNano": str(T0_US * 1000 + 2_500_000),
                            "status": {"code": 2},
                        }
                    ]
                }
            ],
        }
    ]
}
JAEGER_JSON = {
    "traceId": "CvdlGRbNQ92ESOshHIAxnA==",
    "spanId": "t61rcWkgMzE=",
    "operationName": "GetCart",
    "references": [{"traceId": "CvdlGRbNQ92ESOshHIAxnA==", "spanId": "p61rcWkgMzE=", "refType": "CHILD_OF"}],
    "flags": 1,
    "startTime": "2023-11-14T22:13:20.000001Z",
    "duration": "0.002500s",
    "tags": [
        {"key": "span.kind", "vType": "STRING", "vStr": "server"},
        {"key": "error", "vType": "BOOL", "vBool": True},
        {"key": "http.status_code", "vType": "INT64", "vInt64": "500"},
    ],
    "process": {
        "serviceName": "cart",
        "tags": [{"key": "hostname", "vType": "STRING", "vStr": "cart-1"}],
    },
}
# The span above as jaeger-collector's `protobuf` encoding writes it: model.proto, api_v2.
JAEGER_PROTO = bytes.fromhex(
    "0a100af7651916cd43dd8448eb211c80319c"
    "1208b7ad6b7169203331"
    "1a0747657443617274"
    "221c0a100af7651916cd43dd8448eb211c80319c1208a7ad6b7169203331"
    "2801"
    "320908" + "80e2cfaa06" + "10e807"
    "3a0510" + "a0cb9801"
    "42130a097370616e2e6b696e641a06736572766572"
    "420b0a056572726f7210012001"
    "52060a0463617274"
)
FILEBEAT = {
    "@timestamp": "2026-01-31T12:00:00.123Z",
    "@metadata": {"beat": "filebeat", "type": "_doc", "version": "8.13.4"},
    "message": "GetCart failed for user 17",
    "log": {"offset": 1234, "file": {"path": "/var/log/containers/cart.log"}},
    "stream": "stderr",
    "kubernetes": {
        "namespace": "shop",
        "pod": {"name": "redis-cart-0"},
        "container": {"name": "server"},
        "node": {"name": "node-1"},
        "labels": {"app": "redis-cart"},
    },
    "host": {"name": "node-1"},
}
FLUENT_BIT = {
    "@timestamp": 1769860800.125,
    "log": "GetCart served\n",
    "stream": "stdout",
    "level": "error",
    "kubernetes": {
        "pod_name": "cart-7d9f8b6c5d-x2x4z",
        "namespace_name": "shop",
        "container_name": "server",
        "host": "node-1",
    },
}
ADAPTER = {
    "timestamp": "2026-01-31T12:00:00Z",
    "value": "42",
    "name": "requests_total",
    "labels": {"__name__": "requests_total", "job": "cart", "instance": "10.0.0.7:8080", "code": "200"},
}


def message(value: bytes | Mapping[str, Any], topic: str, offset: int = 0) -> Message:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Message(topic=topic, partition=0, offset=offset, timestamp_us=T0_US, key=None, value=raw)


def decoded(value: bytes | Mapping[str, Any], topic: str) -> Decoded:
    return decode_messages([message(value, topic)], {}, 1_800_000_000_000_000)


def check_span(found: Decoded) -> SpanRows:
    assert not found.refused["traces"]
    (row,) = found.rows["traces"]
    assert isinstance(row, SpanRows)
    assert (row.service, row.endpoint.names) == ("cart", ("GetCart",))
    assert row.trace_id[0].tobytes().hex() == TRACE
    assert row.span_id[0].tobytes().hex() == "b7ad6b7169203331"
    assert row.parent_id[0].tobytes().hex() == "a7ad6b7169203331"
    assert (row.kind[0], row.error[0], row.duration_us[0]) == (2, 1, 2500)
    return row


def test_opentelemetrys_json_is_read_with_its_ids_in_hexadecimal() -> None:
    check_span(decoded(OTLP_SPANS, "whatever"))


@pytest.mark.parametrize("value", [JAEGER_JSON, JAEGER_PROTO], ids=["json", "protobuf"])
def test_a_span_of_jaeger_is_read_in_both_encodings(value: bytes | Mapping[str, Any]) -> None:
    row = check_span(decoded(value, "jaeger-spans"))
    assert row.start_us[0] == 1_700_000_000_000_001


def test_opentelemetrys_protobuf_is_of_the_signal_that_its_topic_says() -> None:
    body = logs([line(T0_US, "hello")], resource("cart")).SerializeToString()
    found = decode_messages([message(body, "otlp_logs")], {}, NOW_US)
    (row,) = found.rows["logs"]
    assert isinstance(row, LogRows)
    assert row.bodies == ("hello",)
    assert format_of(traces([span()]).SerializeToString(), "otlp_spans") == "otlp_spans"
    with pytest.raises(InvalidMessage, match=r"say which one: formats\.events = 'otlp_spans'"):
        format_of(body, "events")
    declared = decode_messages([message(body, "events")], {"events": "otlp_logs"}, NOW_US)
    assert len(declared.rows["logs"]) == 1


def test_lines_on_a_topic_of_spans_are_refused_with_how_they_were_read() -> None:
    body = logs([line(T0_US, "hello")], resource("cart")).SerializeToString()
    found = decode_messages([message(body, "otlp_spans")], {}, NOW_US)
    (refused,) = found.refused["traces"]
    assert "a message of otlp_spans was read as otlp_spans" in refused.reason
    assert "one of otlp_logs, otlp_metrics, say so in formats.otlp_spans" in refused.reason


def test_a_line_of_filebeat_is_of_the_pods_app_and_keeps_its_instant() -> None:
    (row,) = decoded(FILEBEAT, "logs-kubernetes").rows["logs"]
    assert isinstance(row, LogRows)
    assert (row.service, row.instance, row.identity.host) == ("redis-cart", "shop/redis-cart-0", "node-1")
    assert row.time_us.tolist() == [1_769_860_800_123_000]
    assert row.bodies == ("GetCart failed for user 17",)


def test_a_line_that_filebeat_sent_twice_is_one_and_two_equal_lines_are_two() -> None:
    twice = [message(FILEBEAT, "logs", 1), message(FILEBEAT, "logs", 2)]
    further = {**FILEBEAT, "log": {"offset": 1261, "file": {"path": "/var/log/containers/cart.log"}}}
    (row,) = decode_messages([*twice, message(further, "logs", 3)], {}, NOW_US).rows["logs"]
    assert isinstance(row, LogRows)
    assert len(set(row.line_id.tolist())) == 2


def test_a_line_of_fluent_bit_has_seconds_for_time_and_its_text_in_log() -> None:
    (row,) = decoded(FLUENT_BIT, "fluent-bit").rows["logs"]
    assert isinstance(row, LogRows)
    assert (row.service, row.instance) == ("cart", "shop/cart-7d9f8b6c5d-x2x4z")
    assert row.time_us.tolist() == [1_769_860_800_125_000]
    assert row.severity.tolist() == [17]
    assert row.bodies == ("GetCart served\n",)
    iso = decoded(FLUENT_BIT | {"@timestamp": "2026-01-31T12:00:00.125Z"}, "fluent-bit").rows["logs"][0]
    assert isinstance(iso, LogRows)
    assert iso.time_us.tolist() == row.time_us.tolist()


def test_a_sample_of_prometheus_adapter_is_a_counters_and_its_stale_marker_none() -> None:
    counters, levels = decoded(ADAPTER, "metrics").rows["metrics"]
    assert isinstance(counters, PointRows)
    assert isinstance(levels, PointRows)
    assert (counters.service, counters.instance) == ("cart", "10.0.0.7:8080")
    assert counters.series.labels == ("{code=200}",)
    assert (counters.time_us.tolist(), counters.value.tolist()) == ([1_769_860_800_000_000], [42.0])
    assert decoded(ADAPTER | {"value": "NaN"}, "metrics").rows["metrics"] == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x00\x00\x00\x00\x01abc", "framed for a schema registry"),
        (b"hello", "of the bytes 68656c6c6f"),
        (b"{", "is no JSON"),
        (b'{"a": 1}', "JSON with a; none of the known producers"),
        (b'{"@timestamp": "yesterday", "message": "x"}', "no instant"),
        (b'{"@timestamp": "2026-01-31T12:00:00", "message": "x"}', "no time zone"),
        (b'{"timestamp": "x", "value": "1", "labels": {}}', "expected RFC 3339"),
        (b'{"operationName": "x", "spanId": "t61rcWkgMzE=", "duration": "x"}', "no span of Jaeger"),
    ],
)
def test_a_message_of_nobody_known_goes_to_the_dead_letters_with_the_reason(
    value: bytes, reason: str
) -> None:
    found = decode_messages([message(value, "t"), message(FILEBEAT, "t")], {}, NOW_US)
    (refused,) = [each for several in found.refused.values() for each in several]
    assert reason in refused.reason
    assert refused.document == value
    assert len(found.rows["logs"]) == 1, "those behind it are read"


def put(broker: MemoryBroker, topic: str, *values: Mapping[str, Any]) -> None:
    with broker.producer() as producer:
        for value in values:
            producer.send(topic, key=None, value=json.dumps(value).encode())
        producer.flush(10)


def lines(tail: KafkaTail, cursor: str) -> tuple[list[str], str]:
    found: list[str] = []
    for page in tail.pages(cursor):
        found += [body for row in page.rows if isinstance(row, LogRows) for body in row.bodies]
        cursor = page.place.cursor
    return found, cursor


def test_topics_are_followed_from_their_end_and_a_restart_goes_on_where_all_was_durable() -> None:
    broker, clock = MemoryBroker(), ManualClock(NOW_US)
    broker.admin().ensure_topics([TopicSpec(name="logs", partitions=1, config={})])
    settings = KafkaSettings(bootstrap_servers="x", topics=("logs", "later"))
    put(broker, "logs", FILEBEAT | {"message": "before"})
    tail = KafkaTail(settings, broker, clock)
    assert lines(tail, "")[0] == []
    put(broker, "logs", FILEBEAT | {"message": "first"})
    found, cursor = lines(tail, "")
    assert found == ["first"]
    broker.admin().ensure_topics([TopicSpec(name="later", partitions=1, config={})])
    put(broker, "later", FILEBEAT | {"message": "of a new topic"})
    clock.advance(10_000_000)
    found, _ = lines(tail, cursor)
    assert found == ["of a new topic"]
    tail.close()
    again = KafkaTail(settings, broker, clock)
    put(broker, "logs", FILEBEAT | {"message": "second"})
    assert lines(again, cursor)[0] == ["second"]
    again.close()


GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "kafka"


@pytest.mark.parametrize("name", ["otlp_spans.proto", "otlp_spans.json", "jaeger.proto", "jaeger.json"])
def test_a_span_that_opentelemetrys_collector_wrote_to_kafka_is_read(name: str) -> None:
    found = decoded((GOLDEN / name).read_bytes(), name)
    assert not found.refused["traces"]
    (row,) = found.rows["traces"]
    assert isinstance(row, SpanRows)
    sent = span()
    assert (row.service, row.endpoint.names) == ("cart", (sent.name,))
    assert row.trace_id[0].tobytes() == sent.trace_id
    assert row.span_id[0].tobytes() == sent.span_id
    assert row.start_us[0] == sent.start_time_unix_nano // 1000
    assert row.duration_us[0] == (sent.end_time_unix_nano - sent.start_time_unix_nano) // 1000
    assert row.kind[0] == sent.kind


@pytest.mark.parametrize("name", ["otlp_metrics.proto", "otlp_metrics.json"])
def test_a_point_that_opentelemetrys_collector_wrote_to_kafka_is_read(name: str) -> None:
    (row,) = decoded((GOLDEN / name).read_bytes(), name).rows["metrics"]
    assert isinstance(row, PointRows)
    assert (row.service, row.time_us.tolist(), row.value.tolist()) == ("cart", [T0_US], [3.0])


@pytest.mark.parametrize("name", ["otlp_logs.proto", "otlp_logs.json"])
def test_a_line_that_opentelemetrys_collector_wrote_to_kafka_is_read(name: str) -> None:
    (row,) = decoded((GOLDEN / name).read_bytes(), name).rows["logs"]
    assert isinstance(row, LogRows)
    assert (row.service, row.time_us.tolist(), row.bodies) == ("cart", [T0_US], ("hello",))
