"""What a message of others is, by its bytes and where they leave it open by its topic.

===========================  =========================================================
first bytes                  format
===========================  =========================================================
``{`` and ``resourceSpans``  OpenTelemetry in JSON; ``resourceMetrics``, ``resourceLogs``
``{`` and ``operationName``  a span of Jaeger in JSON
``{`` and ``@timestamp``     a document of Filebeat, Fluent Bit or Logstash
``{``, ``labels``, value     a sample of the adapter that Prometheus writes to
``0A 10 ... 12 08``          a span of Jaeger in protobuf
``0A``                       OpenTelemetry in protobuf: the topic's name says of which signal
===========================  =========================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from microservo.domain.telemetry import Signal
from microservo.errors import InvalidMessage
from microservo.sources.kafka.jaeger import is_jaeger_proto
from microservo.sources.kafka.settings import Format

SIGNALS: Mapping[Format, Signal] = {
    "otlp_spans": "traces",
    "otlp_metrics": "metrics",
    "otlp_logs": "logs",
    "jaeger": "traces",
    "documents": "logs",
    "prometheus": "metrics",
}
_BY_GROUP: Mapping[str, Format] = {
    "resourceSpans": "otlp_spans",
    "resourceMetrics": "otlp_metrics",
    "resourceLogs": "otlp_logs",
}
_BY_TOPIC: Mapping[str, Format] = {
    "span": "otlp_spans",
    "trace": "otlp_spans",
    "metric": "otlp_metrics",
    "log": "otlp_logs",
}
_AVRO = b"\x00"


def format_of(value: bytes, topic: str) -> Format:
    """The format of a message.

    Raises:
        InvalidMessage: it is none that is known.
    """
    if is_json(value):
        return _format_of_json(document_of(value))
    if is_jaeger_proto(value):
        return "jaeger"
    if value[:1] == b"\x0a":
        found = next((known for part, known in _BY_TOPIC.items() if part in topic.lower()), None)
        if found is not None:
            return found
        msg = f"message of {topic} is protobuf of some signal; say which one: formats.{topic} = 'otlp_spans'"
        raise InvalidMessage(msg)
    what = "framed for a schema registry" if value[:1] == _AVRO else f"of the bytes {value[:8].hex()}..."
    msg = f"message of {topic} is {what}; expected JSON or protobuf of a known producer"
    raise InvalidMessage(msg)


def is_json(value: bytes) -> bool:
    """Whether a message is the text of an object."""
    return value.lstrip()[:1] == b"{"


def document_of(value: bytes) -> Mapping[str, Any]:
    """The object that a message holds.

    Raises:
        InvalidMessage: it holds none.
    """
    try:
        found = json.loads(value.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        msg = f"message of {len(value)} bytes is no JSON: {str(error)[:200]}"
        raise InvalidMessage(msg) from error
    if not isinstance(found, dict):
        msg = f"message is a JSON {type(found).__name__}; expected an object"
        raise InvalidMessage(msg)
    return found


def _format_of_json(document: Mapping[str, Any]) -> Format:
    for group, known in _BY_GROUP.items():
        if group in document:
            return known
    if "operationName" in document and ("spanId" in document or "span_id" in document):
        return "jaeger"
    if "@timestamp" in document:
        return "documents"
    if {"timestamp", "value", "labels"} <= document.keys():
        return "prometheus"
    keys = ", ".join(sorted(map(str, document))[:8])
    msg = f"message is JSON with {keys}; none of the known producers writes such"
    raise InvalidMessage(msg)
