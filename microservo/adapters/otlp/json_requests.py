"""Requests in OTLP's JSON, record by record, so that one that can't be read costs only itself.

OTLP's JSON is not protobuf's: ids are hexadecimal there, and protobuf's own parser would take them for base64
and make 24 wrong bytes of 32 digits without a word.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from microservo.adapters.otlp.checks import Refused
from microservo.adapters.otlp.json_fields import Unusual, fields_of
from microservo.adapters.otlp.media import Media
from microservo.errors import InvalidMessage

_ID_KEYS = frozenset({"traceId", "spanId", "parentSpanId"})
_METRIC_DATA = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
_UNREADABLE = (
    *(ValueError, TypeError, AttributeError, OverflowError, RecursionError),
    json_format.ParseError,
)


def parse_json(body: bytes, request: Message, names: Sequence[str]) -> list[Refused]:
    """Adds to a request the records of a body that can be read, and returns those that can't.

    Attributes of a resource that can't be read are left out.

    Args:
        body: JSON.
        request: an empty one of its signal.
        names: the fields of group, scope and record.

    Raises:
        InvalidMessage: it is no JSON, or not nested as such a request is.
    """
    refused: list[Refused] = []
    for group in _objects(_document(body, request), names[0]):
        target = getattr(request, names[0]).add()
        _parse_resource(group.get("resource"), target.resource)
        for scope in _objects(group, names[1]):
            records = getattr(getattr(target, names[1]).add(), names[2])
            for record in _array(scope, names[2]):
                refused += _add_parsed(records, record)
    return refused


def to_json(record: Message) -> dict[str, Any]:
    """A record as OTLP writes it in JSON, ids in hexadecimal."""
    document: dict[str, Any] = _with_ids(
        json_format.MessageToDict(record, use_integers_for_enums=True), _hex_of_base64
    )
    return document


def _document(body: bytes, request: Message) -> Mapping[str, Any]:
    try:
        # Broken UTF-8 becomes lone surrogates: the record with such a text is refused, the others are not.
        document = json.loads(body.decode(json.detect_encoding(body), "surrogateescape"))
    except (ValueError, RecursionError) as error:
        what = str(error)[:200] or type(error).__name__
        msg = f"body is no {type(request).__name__} in OTLP's JSON: {what}"
        raise InvalidMessage(msg) from error
    if not isinstance(document, dict):
        msg = f"body is a JSON {type(document).__name__}; expected the object of a {type(request).__name__}"
        raise InvalidMessage(msg)
    return document


def _objects(parent: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    for each in _array(parent, name):
        if isinstance(each, dict):
            yield each
        elif each is not None:
            msg = f"{_camel(name)} holds a JSON {type(each).__name__}; expected objects"
            raise InvalidMessage(msg)


def _array(parent: Mapping[str, Any], name: str) -> list[Any]:
    found = parent.get(_camel(name), parent.get(name))
    if found is None:
        return []
    if not isinstance(found, list):
        msg = f"{_camel(name)} is a JSON {type(found).__name__}; expected an array"
        raise InvalidMessage(msg)
    return found


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _parse_resource(document: Any, resource: Any) -> None:
    try:
        json_format.ParseDict(document or {}, resource, ignore_unknown_fields=True)
    except _UNREADABLE:
        resource.Clear()
        attributes = document.get("attributes") if isinstance(document, dict) else None
        for attribute in attributes if isinstance(attributes, list) else ():
            _add_parsed(resource.attributes, attribute)


def _add_parsed(records: Any, document: Any) -> list[Refused]:
    """Adds a record; returns it, or of a metric its points, where they can't be read."""
    added = records.add()
    try:
        if not isinstance(document, dict):
            msg = f"it is a JSON {type(document).__name__}, not an object"
            raise TypeError(msg)
        if _is_usual(added, document):
            return []
        json_format.ParseDict(_with_ids(document, _base64_of_hex), added, ignore_unknown_fields=True)
    except _UNREADABLE as error:
        del records[-1]
        points = _points(document) if isinstance(added, Metric) else []
        if len(points) > 1:
            return [refused for point in points for refused in _add_parsed(records, point)]
        return [_unreadable(type(added).__name__, document, error)]
    return []


def _is_usual(added: Message, document: Any) -> bool:
    """Whether the record could be read in its usual form; it stays empty if not."""
    try:
        added.MergeFrom(type(added)(**fields_of(document, added.DESCRIPTOR)))
    except (Unusual, *_UNREADABLE):
        return False
    return True


def _points(metric: Any) -> list[dict[str, Any]]:
    """The metric with one point only, for each of its points."""
    if not isinstance(metric, dict):
        return []
    return [
        {**metric, kind: {**data, "dataPoints": [point]}}
        for kind, data in metric.items()
        if kind in _METRIC_DATA and isinstance(data, dict) and isinstance(data.get("dataPoints"), list)
        for point in data["dataPoints"]
    ]


def _unreadable(what: str, document: Any, error: Exception) -> Refused:
    why = str(error).replace("\n", " ")[:200] or type(error).__name__
    try:
        # In ASCII, so that a broken text can be written down.
        written = json.dumps(document).encode()
    except RecursionError:
        written = b""
    return Refused(reason=f"{what} can't be read: {why}", document=written, content_type=Media.JSON.value)


def _with_ids(node: Any, change: Callable[[str], str]) -> Any:
    """A copy with every id rewritten; an attribute named like an id is no key here, so it stays."""
    if isinstance(node, list):
        return [_with_ids(item, change) for item in node]
    if isinstance(node, dict):
        return {
            key: change(value) if key in _ID_KEYS and isinstance(value, str) else _with_ids(value, change)
            for key, value in node.items()
        }
    return node


def _base64_of_hex(text: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(text)).decode()
    except ValueError as error:
        msg = f"id {text[:64]!r} is not hexadecimal"
        raise ValueError(msg) from error


def _hex_of_base64(text: str) -> str:
    return base64.b64decode(text).hex()
