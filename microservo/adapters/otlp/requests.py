"""The export requests of the three signals, parsed from either encoding.

OTLP's JSON is not protobuf's: ids are hexadecimal there, and protobuf's own parser would take them for base64
and make 24 wrong bytes of 32 digits without a word.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from microservo.adapters.otlp.media import Media
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidMessage

Request = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest
_ID_KEYS = frozenset({"traceId", "spanId", "parentSpanId"})
_REQUESTS: dict[Signal, type[Request]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


def parse(signal: Signal, media: Media, body: bytes) -> Request:
    """The request that a body holds.

    Raises:
        InvalidMessage: the body can't be read as one.
    """
    request = _REQUESTS[signal]()
    if media is Media.JSON:
        _parse_json(body, request)
    else:
        _parse_protobuf(body, request)
    return request


def to_json(record: Message) -> dict[str, Any]:
    """A record as OTLP writes it in JSON, ids in hexadecimal."""
    document = json_format.MessageToDict(record, use_integers_for_enums=True)
    _change_ids(document, _hex_of_base64)
    return document


def _parse_protobuf(body: bytes, request: Request) -> None:
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        msg = f"body of {len(body)} bytes is no {type(request).__name__}: {error}"
        raise InvalidMessage(msg) from error


def _parse_json(body: bytes, request: Request) -> None:
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            msg = (
                f"body is a JSON {type(document).__name__}; expected the object of a {type(request).__name__}"
            )
            raise InvalidMessage(msg)
        _change_ids(document, _base64_of_hex)
        json_format.ParseDict(document, request, ignore_unknown_fields=True)
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.ParseError) as error:
        msg = (
            f"body is no {type(request).__name__} in OTLP's JSON: {str(error)[:200] or type(error).__name__}"
        )
        raise InvalidMessage(msg) from error


def _change_ids(node: Any, change: Callable[[str], str]) -> None:
    """Rewrites every id below a node in place; an attribute named like an id is no key here, so it stays."""
    if isinstance(node, list):
        for item in node:
            _change_ids(item, change)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in _ID_KEYS and isinstance(value, str):
                node[key] = change(value)
            else:
                _change_ids(value, change)


def _base64_of_hex(text: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(text)).decode()
    except ValueError as error:
        msg = f"id {text[:64]!r} is not hexadecimal"
        raise InvalidMessage(msg) from error


def _hex_of_base64(text: str) -> str:
    return base64.b64decode(text).hex()
