"""Messages of protobuf in JSON, read at once where they have their usual form.

What is read here is the very message that `json_format` makes, which knows all forms and is several times
slower. Whatever that takes otherwise, or refuses, is `Unusual`: names of enums, quoted NaN, null, base64, two
values of a oneof, a number in the wrong place.
"""

from __future__ import annotations

import math
import re
from binascii import unhexlify
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)
_IDS = frozenset({"trace_id", "span_id", "parent_span_id"})
"""Fields of bytes that OTLP writes in hexadecimal."""
_JSON_IDS = frozenset({"traceId", "spanId", "parentSpanId"})
_DEEPEST = 30
"""Messages in one another; `json_format` refuses a hundred."""

Convert = Callable[[Any, int], Any]


class Unusual(Exception):
    """A document that `json_format` has to judge."""


def fields_of(document: Any, message: Any, depth: int = 0) -> dict[str, Any]:
    """The fields of a message, as its constructor takes them; unknown ones are left out.

    Args:
        document: an object of JSON.
        message: the descriptor of what it is to be.
        depth: how many messages it lies in.

    Raises:
        Unusual: not all of it has its usual form.
    """
    if type(document) is not dict or depth > _DEEPEST:
        raise Unusual
    known, found = _fields(message), {}
    oneofs = set()
    for key, value in document.items():
        field = known.get(key)
        if field is None:
            # Ids are looked at wherever they stand, and names in brackets are those of extensions.
            if type(value) in (dict, list) or key in _JSON_IDS or key.startswith("["):
                raise Unusual
            continue
        name, oneof, convert = field
        if name in found or oneof in oneofs:
            raise Unusual
        if oneof is not None:
            oneofs.add(oneof)
        found[name] = convert(value, depth + 1)
    return found


@cache
def _fields(message: Any) -> Mapping[str, tuple[str, str | None, Convert]]:
    """By either name of a field: its own, the oneof that it is one of, and what reads its value."""
    found = {}
    for field in message.fields:
        oneof = field.containing_oneof
        name, convert = None if oneof is None else oneof.name, _converter(field)
        found[field.name] = (field.name, name, _unusual if field.name in _IDS else convert)
        found[field.json_name] = (field.name, name, convert)
    return found


def _converter(field: Any) -> Convert:
    if field.message_type is not None:
        one = _message(field.message_type)
    elif field.type == FieldDescriptor.TYPE_BYTES and field.name in _IDS:
        one = _id
    else:
        one = _SCALARS.get(field.type, _unusual)
    return _many(one) if field.is_repeated else one


def _message(kind: Any) -> Convert:
    if kind.GetOptions().map_entry or kind.full_name.startswith("google.protobuf."):
        return _unusual

    def convert(value: Any, depth: int) -> Any:
        return fields_of(value, kind, depth)

    return convert


def _many(one: Convert) -> Convert:
    def convert(value: Any, depth: int) -> Any:
        if type(value) is not list:
            raise Unusual
        return [one(each, depth) for each in value]

    return convert


def _unusual(_: Any, _depth: int) -> Any:
    raise Unusual


def _text(value: Any, _: int) -> str:
    if type(value) is not str:
        raise Unusual
    return value


def _flag(value: Any, _: int) -> bool:
    if type(value) is not bool:
        raise Unusual
    return value


def _integer(value: Any, _: int) -> int:
    if type(value) is int:
        return value
    # Of 64 bits they are texts, since JavaScript has no such numbers.
    if type(value) is str and _INTEGER.fullmatch(value):
        return int(value)
    raise Unusual


def _number(value: Any, _: int) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int:
        return float(value)
    raise Unusual


def _code(value: Any, _: int) -> int:
    if type(value) is not int:
        raise Unusual
    return value


def _id(value: Any, _: int) -> bytes:
    if type(value) is not str:
        raise Unusual
    try:
        return unhexlify(value)
    except ValueError as error:
        raise Unusual from error


_SCALARS: Mapping[int, Convert] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BOOL: _flag,
    FieldDescriptor.TYPE_DOUBLE: _number,
    FieldDescriptor.TYPE_ENUM: _code,
    **dict.fromkeys(
        (
            *(FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT32),
            *(FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_FIXED64),
            *(FieldDescriptor.TYPE_SFIXED32, FieldDescriptor.TYPE_SFIXED64),
            *(FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SINT64),
        ),
        _integer,
    ),
}
