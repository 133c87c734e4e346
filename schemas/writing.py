"""Records to Avro bodies, field after field."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import fastavro

from schemas.fields import holds_records, is_array, parsed

Part = Callable[[Any], bytes]
"""Gives the bytes of some consecutive fields of a record."""

_RECURRING = frozenset(
    {"names", "instances", "endpoints", "peers", "steps", "templates", "levels", "rates", "metered"}
)
"""Lists of text that are mostly the same from one record of a service to the next."""
_KEPT_LISTS = 1024


def parts_of(schema: Mapping[str, Any]) -> list[Part]:
    """What writes a record: Avro lays its fields end to end, so some may be written in a faster way."""
    parts: list[Part] = []
    for special, entries in itertools.groupby(schema["fields"], _special):
        if special is None:
            parts.append(_plain_part({**schema, "fields": list(entries)}))
        else:
            parts += [_special_part(entry["name"], special) for entry in entries]
    return parts


def _special(entry: Mapping[str, Any]) -> Callable[[Sequence[Any]], bytes] | None:
    """The faster way of writing a field, if there is one."""
    items = entry["type"]["items"] if is_array(entry) else None
    if items == "double":
        return _doubles
    return _texts if items == "string" and entry["name"] in _RECURRING else None


def _plain_part(schema: Mapping[str, Any]) -> Part:
    plain_schema, to_dict = parsed(schema), _unbuilder(schema)

    def plain(record: Any) -> bytes:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, plain_schema, to_dict(record))
        return buffer.getvalue()

    return plain


def _special_part(name: str, write: Callable[[Sequence[Any]], bytes]) -> Part:
    return lambda record: write(getattr(record, name))


def _doubles(values: Sequence[float]) -> bytes:
    """An array of doubles is one block: how many, as a varint, they, and an empty block."""
    if not values:
        return b"\0"
    return b"%b%b\0" % (_varint(2 * len(values)), struct.pack(f"<{len(values)}d", *values))


def _varint(number: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _texts(texts: Sequence[str]) -> bytes:
    return _array_of_strings(tuple(texts))


@lru_cache(_KEPT_LISTS)
def _array_of_strings(texts: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, {"type": "array", "items": "string"}, texts)
    return buffer.getvalue()


def _unbuilder(schema: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """A function from our dataclass to the dict that fastavro writes."""
    names = [entry["name"] for entry in schema["fields"]]
    nested = {
        entry["name"]: _unbuilder(entry["type"]["items"])
        for entry in schema["fields"]
        if holds_records(entry)
    }

    def unbuild(record: Any) -> dict[str, Any]:
        fields = {name: getattr(record, name) for name in names}
        for name, unbuild_item in nested.items():
            fields[name] = [unbuild_item(item) for item in fields[name]]
        return fields

    return unbuild
