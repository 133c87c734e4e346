"""Jaeger's spans, one a message, as requests of OpenTelemetry: from there on they are spans like others.

Source: jaeger-idl, `proto/api_v2/model.proto`; what its tags mean: OpenTelemetry's "Trace transformation to
Jaeger".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from microservo.adapters.protobuf_types import message_types
from microservo.errors import InvalidMessage

_KEPT = {"span.kind", "error", "otel.status_code", "otel.library.name", "otel.scope.name"}
_KINDS = {
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER,
    "consumer": Span.SPAN_KIND_CONSUMER,
    "internal": Span.SPAN_KIND_INTERNAL,
}
_VALUES = ("v_str", "v_bool", "v_int64", "v_float64", "v_binary")


_ENUMS = {
    "ValueType": ("STRING", "BOOL", "INT64", "FLOAT64", "BINARY"),
    "SpanRefType": ("CHILD_OF", "FOLLOWS_FROM"),
}
_MESSAGES = {
    "KeyValue": (
        ("key", 1, "string"),
        ("v_type", 2, "ValueType"),
        ("v_str", 3, "string"),
        ("v_bool", 4, "bool"),
        ("v_int64", 5, "int64"),
        ("v_float64", 6, "double"),
        ("v_binary", 7, "bytes"),
    ),
    "SpanRef": (("trace_id", 1, "bytes"), ("span_id", 2, "bytes"), ("ref_type", 3, "SpanRefType")),
    "Process": (("service_name", 1, "string"), ("tags", 2, "repeated KeyValue")),
    "Span": (
        ("trace_id", 1, "bytes"),
        ("span_id", 2, "bytes"),
        ("operation_name", 3, "string"),
        ("references", 4, "repeated SpanRef"),
        ("start_time", 6, "google.protobuf.Timestamp"),
        ("duration", 7, "google.protobuf.Duration"),
        ("tags", 8, "repeated KeyValue"),
        ("process", 10, "Process"),
    ),
}
"""What is read of them: number and type of each field."""
_JaegerSpan = message_types("microservo.jaeger", _MESSAGES, _ENUMS)["Span"]


def is_jaeger_proto(value: bytes) -> bool:
    """Whether a message begins as Jaeger's spans do: a trace id of 16 bytes, and a span id of 8."""
    return value[:2] == b"\x0a\x10" and value[18:20] == b"\x12\x08"


def jaeger_request(value: bytes) -> ExportTraceServiceRequest:
    """The span of a message, in protobuf or JSON.

    Raises:
        InvalidMessage: it is none.
    """
    span = _JaegerSpan()
    try:
        if value.lstrip()[:1] == b"{":
            json_format.ParseDict(json.loads(value), span, ignore_unknown_fields=True)
        else:
            span.ParseFromString(value)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        msg = f"message of {len(value)} bytes is no span of Jaeger: {str(error)[:200]}"
        raise InvalidMessage(msg) from error
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(_attributes(span.process.tags))
    group.resource.attributes.add(key="service.name").value.string_value = span.process.service_name
    tags = {tag.key: tag for tag in span.tags}
    scope = group.scope_spans.add()
    scope.scope.name = _text(tags, "otel.scope.name") or _text(tags, "otel.library.name")
    start_ns = span.start_time.ToNanoseconds()
    scope.spans.append(
        Span(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=next(
                (
                    each.span_id
                    for each in span.references
                    if each.ref_type == 0 and each.trace_id == span.trace_id
                ),
                b"",
            ),
            name=span.operation_name,
            kind=_KINDS.get(_text(tags, "span.kind").lower(), Span.SPAN_KIND_UNSPECIFIED),
            start_time_unix_nano=max(0, start_ns),
            end_time_unix_nano=max(0, start_ns + span.duration.ToNanoseconds()),
            attributes=_attributes(tag for tag in span.tags if tag.key not in _KEPT),
            status=Status(code=Status.STATUS_CODE_ERROR if _is_error(tags) else Status.STATUS_CODE_UNSET),
        )
    )
    return request


def _is_error(tags: dict[str, Any]) -> bool:
    error = tags.get("error")
    said = error is not None and (error.v_bool or error.v_str.lower() == "true")
    return said or _text(tags, "otel.status_code").upper() == "ERROR"


def _text(tags: dict[str, Any], key: str) -> str:
    return str(tags[key].v_str) if key in tags else ""


def _attributes(tags: Iterable[Any]) -> list[KeyValue]:
    return [KeyValue(key=tag.key, value=_value(tag)) for tag in tags]


def _value(tag: Any) -> AnyValue:
    kind = _VALUES[tag.v_type] if 0 <= tag.v_type < len(_VALUES) else "v_str"
    value = getattr(tag, kind)
    if kind == "v_str":
        return AnyValue(string_value=value)
    if kind == "v_bool":
        return AnyValue(bool_value=value)
    if kind == "v_int64":
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if kind == "v_float64" else AnyValue(bytes_value=value)
