"""Records to bytes and back: Avro in Confluent wire framing (0x00, four-byte schema id, body), ids fixed.

Logical types are for readers elsewhere: here instants stay integer microseconds, so they are stripped before
parsing (they never change the bytes). Array fields are tuples in our records.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

import fastavro

from schemas import records
from schemas.files import avro_schemas, schema_ids

_FRAME = struct.Struct(">bI")
FRAME_BYTES = _FRAME.size

RecordT = TypeVar("RecordT")
_Part = Callable[[Any], bytes]
"""Gives the bytes of some consecutive fields of a record."""

_RECURRING = frozenset({"names", "instances", "endpoints", "peers", "templates"})
"""Lists of text that are mostly the same from one record of a service to the next."""
_KEPT_LISTS = 256
_PROBE_BYTES = 96
"""Of a batch, enough to tell its service: frame, run and name."""
_KNOWN_HEADS = 1024


class SchemaError(ValueError):
    """A value does not follow its schema, or names a schema that is not known."""


def encode(record: object) -> bytes:
    """The framed bytes of a record.

    Raises:
        SchemaError: a field has a value that its schema does not take.
    """
    try:
        frame, parts = _writers()[type(record)]
    except KeyError:
        msg = f"{type(record).__name__} is no record of the contract; take one of schemas.records"
        raise SchemaError(msg) from None
    try:
        return b"".join([frame, *(part(record) for part in parts)])
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, struct.error) as error:
        msg = f"{type(record).__name__} can't be encoded: {error}"
        raise SchemaError(msg) from error


def decode(value: bytes) -> object:
    """The record that framed bytes hold, by the schema id they carry.

    Raises:
        SchemaError: not framed, an unknown id, cut short, or with bytes left over.
    """
    return _decode(value)


def decode_as(record_type: type[RecordT], value: bytes) -> RecordT:
    """The record that framed bytes hold, which must be of the given type.

    Raises:
        SchemaError: as `decode`, or the bytes hold another record.
    """
    record = _decode(value)
    if not isinstance(record, record_type):
        msg = f"expected a {record_type.__name__}, got a {type(record).__name__}"
        raise SchemaError(msg)
    return record


def _decode(value: bytes) -> object:
    if len(value) < FRAME_BYTES:
        msg = f"{len(value)} bytes are too few for the five bytes of framing"
        raise SchemaError(msg)
    magic, schema_id = _FRAME.unpack_from(value)
    reader = _readers().get(schema_id)
    if magic != 0 or reader is None:
        frame = value[:FRAME_BYTES].hex()
        msg = f"framing {frame} names no known schema; expected 0x00 and an id of topics.toml"
        raise SchemaError(msg)
    try:
        record, end = reader.read(value)
    except (
        EOFError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        OverflowError,
        struct.error,
        MemoryError,
    ) as error:
        msg = f"body does not follow schema id {schema_id}: {error or type(error).__name__}"
        raise SchemaError(msg) from error
    if end != len(value):
        msg = f"{len(value) - end} bytes are left over after the record of schema id {schema_id}"
        raise SchemaError(msg)
    return record


class _Head(NamedTuple):
    """What the first fields of a record hold, and the bytes that say so."""

    value: bytes
    fields: dict[str, Any]


class _Reader:
    """Reads records of one schema.

    The batches of a service begin alike, with its name and the texts that its columns point into. So the
    fields in front of the columns are read once and then known again by their bytes.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        entries = schema["fields"]
        columns = [entry["type"] for entry in entries].index("bytes") if _has_columns(schema) else 0
        self._head = _Fields({**schema, "fields": entries[:columns]}) if columns else None
        self._rest = _Fields({**schema, "fields": entries[columns:]})
        self._type = getattr(records, schema["name"])
        self._known: dict[bytes, _Head] = {}

    def read(self, value: bytes) -> tuple[object, int]:
        """The record behind the frame, and where it ends."""
        buffer = io.BytesIO(value)
        if self._head is None:
            buffer.seek(FRAME_BYTES)
            return self._type(**self._rest.read(buffer)), buffer.tell()
        probe = value[:_PROBE_BYTES]
        head = self._known.get(probe)
        if head is None or not value.startswith(head.value):
            head = self._learn(probe, self._head, buffer)
        buffer.seek(len(head.value))
        return self._type(**head.fields, **self._rest.read(buffer)), buffer.tell()

    def _learn(self, probe: bytes, fields: _Fields, buffer: io.BytesIO) -> _Head:
        buffer.seek(FRAME_BYTES)
        found = fields.read(buffer)
        head = _Head(buffer.getvalue()[: buffer.tell()], found)
        if len(self._known) >= _KNOWN_HEADS:
            self._known.clear()
        self._known[probe] = head
        return head


class _Fields:
    """Reads some consecutive fields of a record."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = _parsed(schema)
        self._convert = _converter(schema)

    def read(self, buffer: io.BytesIO) -> dict[str, Any]:
        """The fields by name, as our dataclasses hold them."""
        return self._convert(fastavro.schemaless_reader(buffer, self._schema, None))


@cache
def _readers() -> dict[int, _Reader]:
    return {schema_ids()[key]: _Reader(schema) for key, schema in avro_schemas().items()}


@cache
def _writers() -> dict[type, tuple[bytes, list[_Part]]]:
    return {
        getattr(records, schema["name"]): (_FRAME.pack(0, schema_ids()[key]), _parts(schema))
        for key, schema in avro_schemas().items()
    }


def _parts(schema: Mapping[str, Any]) -> list[_Part]:
    """What writes a record: Avro lays its fields end to end, so some may be written in a faster way."""
    parts: list[_Part] = []
    for special, entries in itertools.groupby(schema["fields"], _special):
        if special is None:
            parts.append(_plain_part({**schema, "fields": list(entries)}))
        else:
            parts += [_special_part(entry["name"], special) for entry in entries]
    return parts


def _special(entry: Mapping[str, Any]) -> Callable[[Sequence[Any]], bytes] | None:
    """The faster way of writing a field, if there is one."""
    items = entry["type"]["items"] if _is_array(entry) else None
    if items == "double":
        return _doubles
    return _texts if items == "string" and entry["name"] in _RECURRING else None


def _plain_part(schema: Mapping[str, Any]) -> _Part:
    parsed, to_dict = _parsed(schema), _unbuilder(schema)

    def plain(record: Any) -> bytes:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, parsed, to_dict(record))
        return buffer.getvalue()

    return plain


def _special_part(name: str, write: Callable[[Sequence[Any]], bytes]) -> _Part:
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


def _parsed(schema: Mapping[str, Any]) -> Any:
    return fastavro.parse_schema(_without_logical_types(schema), _force=True)


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, Mapping):
        if "logicalType" in node:
            return node["type"]
        return {key: _without_logical_types(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_logical_types(value) for value in node]
    return node


def _converter(schema: Mapping[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function from fastavro's fields to those of our dataclass."""
    arrays = [entry["name"] for entry in schema["fields"] if _is_array(entry)]
    nested = {
        entry["name"]: _builder(entry["type"]["items"]) for entry in schema["fields"] if _holds_records(entry)
    }

    def convert(fields: dict[str, Any]) -> dict[str, Any]:
        for name, build_item in nested.items():
            fields[name] = map(build_item, fields[name])
        for name in arrays:
            fields[name] = tuple(fields[name])
        return fields

    return convert


def _builder(schema: Mapping[str, Any]) -> Callable[[dict[str, Any]], object]:
    """A function from fastavro's dict to our dataclass."""
    record_type, convert = getattr(records, schema["name"]), _converter(schema)
    return lambda fields: record_type(**convert(fields))


def _unbuilder(schema: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """A function from our dataclass to the dict that fastavro writes."""
    names = [entry["name"] for entry in schema["fields"]]
    nested = {
        entry["name"]: _unbuilder(entry["type"]["items"])
        for entry in schema["fields"]
        if _holds_records(entry)
    }

    def unbuild(record: Any) -> dict[str, Any]:
        fields = {name: getattr(record, name) for name in names}
        for name, unbuild_item in nested.items():
            fields[name] = [unbuild_item(item) for item in fields[name]]
        return fields

    return unbuild


def _has_columns(schema: Mapping[str, Any]) -> bool:
    return any(entry["type"] == "bytes" for entry in schema["fields"])


def _is_array(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry["type"], Mapping) and entry["type"].get("type") == "array"


def _holds_records(entry: Mapping[str, Any]) -> bool:
    return _is_array(entry) and isinstance(entry["type"]["items"], Mapping)
