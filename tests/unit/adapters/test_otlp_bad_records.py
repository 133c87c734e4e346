"""One record that can't be read costs itself alone; the others are kept and it is put aside as it came."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
    NumberDataPoint,
    Sum,
)
from otlp_requests import T0_US, attribute, gauge, line, logs, metrics, resource, span, traces

from microservo.adapters.otlp.checks import Decoded, Instants
from microservo.adapters.otlp.decoding import decode_body
from microservo.adapters.otlp.json_requests import to_json
from microservo.adapters.otlp.media import Media
from microservo.domain.rows import LogRows, PointRows
from microservo.domain.telemetry import Signal

NOW = Instants(now_us=T0_US + 1_000_000)
MARK, BROKEN = b"SPOILT", b"SP\xff\xfeLT"


def decoded(signal: Signal, media: Media, body: bytes) -> Decoded:
    return decode_body(signal, media, body, NOW, 1000)


def broken(request: Message) -> bytes:
    """The request with broken UTF-8 in place of the mark."""
    body = request.SerializeToString()
    assert MARK in body
    return body.replace(MARK, BROKEN)


def kept(found: Decoded) -> list[int]:
    return [rows.count for rows in found.rows]


@pytest.mark.parametrize(
    ("signal", "request_"),
    [
        ("traces", traces([span(number=1), span(number=2, name="SPOILT"), span(number=3)])),
        ("logs", logs([line(), line(body="SPOILT"), line()])),
        ("metrics", metrics([gauge(), gauge("SPOILT"), gauge()])),
    ],
)
def test_broken_utf8_in_protobuf_costs_one_record(signal: Signal, request_: Message) -> None:
    found = decoded(signal, Media.PROTOBUF, broken(request_))
    assert kept(found) == [2]
    (refused,) = found.refused
    assert refused.reason.endswith("can't be read: String field had bad UTF-8")
    assert refused.content_type == "application/x-protobuf"
    assert BROKEN in refused.document


def test_broken_utf8_in_one_point_keeps_the_others_of_its_metric() -> None:
    at_ns = T0_US * 1000
    points = [
        NumberDataPoint(time_unix_nano=at_ns, as_int=number, attributes=[attribute("room", room)])
        for number, room in enumerate(("a", "SPOILT", "b"))
    ]
    total = Sum(
        data_points=points,
        is_monotonic=True,
        aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
    )
    found = decoded("metrics", Media.PROTOBUF, broken(metrics([Metric(name="visits", sum=total)])))
    (rows,) = found.rows
    assert isinstance(rows, PointRows)
    assert (rows.series.labels, rows.value.tolist()) == (("{room=a}", "{room=b}"), [0.0, 2.0])
    assert len(found.refused) == 1


def test_a_broken_attribute_of_a_resource_is_left_out() -> None:
    origin = resource("cart")
    origin.attributes.append(attribute("note", "SPOILT"))
    found = decoded("logs", Media.PROTOBUF, broken(logs([line()], origin)))
    assert [(rows.service, rows.instance) for rows in found.rows] == [("cart", "cart-0")]
    assert found.refused == ()


Json = dict[str, Any]


def json_logs(*records: object) -> bytes:
    document = to_json(logs([line()]))
    document["resourceLogs"][0]["scopeLogs"][0]["logRecords"] += records
    return json.dumps(document).encode()


def body(value: object, **more: object) -> Json:
    return {"timeUnixNano": str(T0_US * 1000), "severityNumber": 9, "body": value, **more}


@pytest.mark.parametrize(
    "record",
    [
        body({"stringValue": "\ud800"}),
        body({"stringValue": "a", "intValue": "1"}),
        body({"intValue": "99999999999999999999"}),
        body({"arrayValue": {"values": [{"stringValue": "a"}, None]}}),
        body({"stringValue": "a"}) | {"timeUnixNano": "99999999999999999999"},
        body({"stringValue": "a"}, attributes=[None]),
        body({"stringValue": "a"}, traceId="xyz"),
        body({"stringValue": "a"}, severityNumber={}),
        None,
        "no object",
    ],
    ids=str,
)
def test_a_bad_record_in_json_costs_one_record(record: object) -> None:
    found = decoded("logs", Media.JSON, json_logs(record))
    assert kept(found) == [1]
    (refused,) = found.refused
    assert refused.reason.startswith("LogRecord can't be read: ")
    assert json.loads(refused.document) == record


def test_broken_utf8_in_json_costs_one_record() -> None:
    sent = json_logs(body({"stringValue": "SPOILT"})).replace(MARK, BROKEN)
    found = decoded("logs", Media.JSON, sent)
    assert (kept(found), len(found.refused)) == ([1], 1)


@pytest.mark.parametrize(
    ("name", "value"), [("asInt", "9" * 30), ("asDouble", 10**400)], ids=["a text of 30 digits", "10**400"]
)
def test_overflow_in_one_point_of_json_keeps_the_others_of_its_metric(name: str, value: object) -> None:
    time = {"timeUnixNano": str(T0_US * 1000)}
    points = [{**time, "asInt": "1"}, {**time, name: value}, {**time, "asInt": "3"}]
    document = {
        "resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": points}}]}]}]
    }
    found = decoded("metrics", Media.JSON, json.dumps(document).encode())
    (rows,) = found.rows
    assert isinstance(rows, PointRows)
    assert rows.value.tolist() == [1.0, 3.0]
    assert len(found.refused) == 1


def test_a_broken_attribute_of_a_resource_in_json_is_left_out() -> None:
    document = json.loads(json_logs())
    document["resourceLogs"][0]["resource"]["attributes"] += [None, {"key": "a", "value": {"intValue": "x"}}]
    found = decoded("logs", Media.JSON, json.dumps(document).encode())
    assert [(rows.service, rows.instance) for rows in found.rows] == [("cart", "cart-0")]


def test_groups_of_null_hold_nothing() -> None:
    document = json.loads(json_logs())
    document["resourceLogs"] = [None, *document["resourceLogs"]]
    assert kept(decoded("logs", Media.JSON, json.dumps(document).encode())) == [1]


def test_names_as_protobuf_writes_them_are_understood() -> None:
    document = json.loads(json_logs())
    (group,) = document.pop("resourceLogs")
    group["scope_logs"] = group.pop("scopeLogs")
    group["scope_logs"][0]["log_records"] = group["scope_logs"][0].pop("logRecords")
    found = decoded("logs", Media.JSON, json.dumps({"resource_logs": [group]}).encode())
    (rows,) = found.rows
    assert isinstance(rows, LogRows)
    assert rows.bodies == ("GetCart served in 3 ms",)


def test_bytes_in_json_are_base64() -> None:
    packed = base64.b64encode(b"\x01\x02").decode()
    found = decoded("logs", Media.JSON, json_logs(body({"bytesValue": packed})))
    (rows,) = found.rows
    assert isinstance(rows, LogRows)
    assert rows.bodies[1] == '"0102"'
