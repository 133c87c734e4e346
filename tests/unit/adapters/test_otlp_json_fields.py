"""What is read at once is what protobuf's own reader makes of it; whatever that judges is left to it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from microservo.adapters.otlp import json_requests
from microservo.adapters.otlp.json_fields import Unusual, fields_of

KEYS = (
    *("name", "kind", "traceId", "trace_id", "spanId", "startTimeUnixNano", "start_time_unix_nano", "status"),
    *("code", "message", "attributes", "key", "value", "stringValue", "intValue", "doubleValue", "boolValue"),
    *("bytesValue", "arrayValue", "values", "kvlistValue", "body", "severityNumber", "gauge", "sum"),
    *("dataPoints", "asDouble", "asInt", "histogram", "bucketCounts", "explicitBounds", "flags", "unknown"),
    *(
        "droppedAttributesCount",
        "events",
        "links",
        "exemplars",
        "isMonotonic",
        "aggregationTemporality",
        "[a.b]",
    ),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.just(10**400),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        ["00", "ff" * 16, "0" * 31, "12", "-0", "007", "1.0", "NaN", " 7", "SPAN_KIND_SERVER", "\ud800", "٣"]
    ),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.dictionaries(st.sampled_from(KEYS), DOCUMENTS, max_size=5)


def by_protobuf(kind: type[Message], document: Any) -> bytes | None:
    """What `json_format` makes of it; None where it refuses."""
    made = kind()
    try:
        json_format.ParseDict(json_requests._with_ids(document, json_requests._base64_of_hex), made, True)
    except json_requests._UNREADABLE:
        return None
    return made.SerializeToString(deterministic=True)


def at_once(kind: type[Message], document: Any) -> bytes | None:
    """What is made of it at once; None where that is left to `json_format`."""
    try:
        return kind(**fields_of(document, kind.DESCRIPTOR)).SerializeToString(deterministic=True)
    except (Unusual, *json_requests._UNREADABLE):
        return None


@pytest.mark.parametrize("kind", [Span, LogRecord, Metric])
@given(document=RECORDS)
def test_what_is_read_at_once_is_the_same_message(kind: type[Message], document: Any) -> None:
    found = at_once(kind, document)
    assert found is None or found == by_protobuf(kind, document)


ATTRIBUTES = [
    {"key": "a", "value": {"stringValue": "ü"}},
    {"key": "b", "value": {"intValue": "-7"}},
    {"key": "c", "value": {"arrayValue": {"values": [{"boolValue": False}, {"doubleValue": 0.0}, {}]}}},
]
USUAL: tuple[tuple[type[Message], dict[str, Any]], ...] = (
    (
        Span,
        {
            "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": "B7AD6B7169203331",
            "parentSpanId": "",
            "name": "GET /",
            "kind": 2,
            "startTimeUnixNano": "1700000000000000000",
            "endTimeUnixNano": 1700000000000000001,
            "attributes": ATTRIBUTES,
            "status": {},
            "unknown": 1,
            "links": [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}],
        },
    ),
    (
        LogRecord,
        {"timeUnixNano": "1", "severityNumber": 9, "body": {"stringValue": ""}, "attributes": ATTRIBUTES},
    ),
    (Metric, {"name": "m", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": "0"}, {"asDouble": 1}]}}),
    (
        Metric,
        {
            "name": "h",
            "histogram": {
                "aggregationTemporality": 2,
                "dataPoints": [
                    {"count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [0.5]}
                ],
            },
        },
    ),
)


@pytest.mark.parametrize(("kind", "document"), USUAL)
def test_what_exporters_write_is_read_at_once(kind: type[Message], document: dict[str, Any]) -> None:
    assert at_once(kind, document) == by_protobuf(kind, document) is not None
