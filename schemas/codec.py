"""Records to bytes and back: Avro in Confluent wire framing (0x00, four-byte schema id, body), ids fixed.

Array fields are tuples in our records.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TypeVar

from fastavro.read import SchemaResolutionError

from schemas import records
from schemas.files import avro_schemas, newest_schemas, schema_ids
from schemas.reading import Reader, ResolvingReader, reader_of
from schemas.writing import Part, parts_of

_FRAME = struct.Struct(">bI")
FRAME_BYTES = _FRAME.size

RecordT = TypeVar("RecordT")


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
    """The record that framed bytes hold, in its newest version.

    The schema id says which version wrote them; fields that it did not know have their defaults.

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


def event_type(value: bytes) -> str:
    """The CloudEvents type of framed bytes, by the schema id they carry, e.g. "microservo.fault_request".

    Raises:
        SchemaError: not framed, or an unknown id.
    """
    schema_id = _schema_id(value)
    if schema_id not in _event_types():
        raise _unknown_framing(value)
    return _event_types()[schema_id]


def _decode(value: bytes) -> object:
    schema_id = _schema_id(value)
    reader = _readers().get(schema_id)
    if reader is None:
        raise _unknown_framing(value)
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
        SchemaResolutionError,
    ) as error:
        msg = f"body does not follow schema id {schema_id}: {error or type(error).__name__}"
        raise SchemaError(msg) from error
    if end != len(value):
        msg = f"{len(value) - end} bytes are left over after the record of schema id {schema_id}"
        raise SchemaError(msg)
    return record


def framing(schema_id: int) -> bytes:
    """The bytes in front of a body that was written by the schema of this id."""
    return _FRAME.pack(0, schema_id)


def _schema_id(value: bytes) -> int:
    """The schema id in front of a value; -1 where something else stands there."""
    if len(value) < FRAME_BYTES:
        msg = f"{len(value)} bytes are too few for the five bytes of framing"
        raise SchemaError(msg)
    magic, schema_id = _FRAME.unpack_from(value)
    return -1 if magic else int(schema_id)


def _unknown_framing(value: bytes) -> SchemaError:
    frame = value[:FRAME_BYTES].hex()
    msg = f"framing {frame} names no known schema; expected 0x00 and an id of schemas/ids.toml"
    return SchemaError(msg)


@cache
def _event_types() -> dict[int, str]:
    return {schema_id: f"microservo.{record}" for (record, _), schema_id in schema_ids().items()}


@cache
def _readers() -> dict[int, Reader | ResolvingReader]:
    return {
        schema_ids()[key]: reader_of(schema, newest_schemas()[key[0]], FRAME_BYTES)
        for key, schema in avro_schemas().items()
    }


@cache
def _writers() -> dict[type, tuple[bytes, list[Part]]]:
    # Of a record's versions the newest comes last, and is the one that stays.
    return {
        getattr(records, schema["name"]): (framing(schema_ids()[key]), parts_of(schema))
        for key, schema in avro_schemas().items()
    }
