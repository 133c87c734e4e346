"""Requests in protobuf and in OTLP's JSON."""

import base64
import json

import pytest
from otlp_requests import line, logs, span, traces

from microservo.adapters.otlp.json_requests import to_json
from microservo.adapters.otlp.media import Media
from microservo.adapters.otlp.requests import Parsed, Request, read_requests
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidMessage

# From the examples of opentelemetry-proto, shortened.
SPAN_JSON = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "EEE19B7EC3C1B174",
                            "parentSpanId": "EEE19B7EC3C1B173",
                            "name": "I'm a server span",
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": "1544712661000000000",
                            "kind": 2,
                            "attributes": [{"key": "traceId", "value": {"stringValue": "not hex"}}],
                            "links": [
                                {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
                            ],
                            "aFieldOfTheFuture": 1,
                        }
                    ]
                }
            ],
        }
    ]
}


def read(signal: Signal, media: Media, body: bytes) -> Parsed:
    (parsed,) = read_requests(signal, media, body, 100_000)
    return parsed


def parse(signal: Signal, media: Media, body: bytes) -> Request:
    parsed = read(signal, media, body)
    assert parsed.refused == ()
    return parsed.request


def test_ids_in_json_are_hexadecimal() -> None:
    request = parse("traces", Media.JSON, json.dumps(SPAN_JSON).encode())
    found = request.resource_spans[0].scope_spans[0].spans[0]  # type: ignore[union-attr]
    assert found.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert found.span_id.hex() == "eee19b7ec3c1b174"
    assert found.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert found.links[0].trace_id == found.trace_id
    assert found.attributes[0].value.string_value == "not hex"
    assert found.start_time_unix_nano == 1544712660000000000
    assert found.kind == 2


@pytest.mark.parametrize("field", ["traceId", "spanId"])
def test_an_id_in_base64_as_protobufs_own_json_has_it_is_refused_and_never_another_id(field: str) -> None:
    document = json.loads(json.dumps(SPAN_JSON))
    written = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    written[field] = base64.b64encode(bytes.fromhex(written[field])).decode()
    parsed = read("traces", Media.JSON, json.dumps(document).encode())
    (refused,) = parsed.refused
    assert "is not hexadecimal" in refused.reason
    assert not parsed.request.resource_spans[0].scope_spans[0].spans  # type: ignore[union-attr]


def test_json_and_protobuf_give_the_same_request() -> None:
    request = traces([span(number=7, peer="redis", failed=True)])
    document = json.dumps(to_json(request)).encode()
    assert parse("traces", Media.JSON, document) == request
    assert parse("traces", Media.PROTOBUF, request.SerializeToString()) == request


def test_a_log_record_is_written_as_json_with_hexadecimal_ids() -> None:
    record = line()
    record.trace_id = bytes(range(16))
    assert to_json(record)["traceId"] == "000102030405060708090a0b0c0d0e0f"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"resourceSpans": 3}',
        b'{"resourceSpans": [3]}',
        b'{"resourceSpans": [{"scopeSpans": {}}]}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_json_that_is_no_request_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidMessage, match=r"ExportTraceServiceRequest|expected (an array|objects)"):
        parse("traces", Media.JSON, body)


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_protobuf_that_is_cut_short_is_invalid(signal: Signal) -> None:
    body = logs([line()]).SerializeToString()
    with pytest.raises(InvalidMessage, match=r"body of \d+ bytes is no Export"):
        parse(signal, Media.PROTOBUF, body[:-3])
