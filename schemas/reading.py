"""Avro bodies to records of the newest version, whichever version wrote them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import fastavro

from schemas import records
from schemas.columns import check_of
from schemas.fields import holds_records, is_array, parsed

_KNOWN_HEADS = 1024
_LONGEST_HEAD_BYTES = 16_384


class _Head(NamedTuple):
    """What the first fields of a record hold, and the bytes that say so."""

    value: bytes
    fields: dict[str, Any]


class Reader:
    """Reads bodies that hold the fields of the newest schema, or all but some of its texts and bytes.

    The batches of a service begin alike, with its name and the texts that its columns point into. So the
    fields in front of the columns are read once and then known again by their bytes.

    Args:
        writer: schema that the bodies were written by; the newest, or an older one, see `reader_of`.
        newest: newest schema of the record.
        begin: where in a value the body begins.
    """

    def __init__(self, writer: Mapping[str, Any], newest: Mapping[str, Any], begin: int) -> None:
        self._begin = begin
        entries = writer["fields"]
        columns = [entry["type"] for entry in entries].index("bytes") if _has_columns(writer) else 0
        self._head = _Fields({**writer, "fields": entries[:columns]}) if columns else None
        self._rest = _Fields({**writer, "fields": entries[columns:]})
        self._added = {entry["name"]: _default(entry) for entry in _added(writer, newest)}
        self._type = getattr(records, newest["name"])
        self._set = {entry["name"]: getattr(self._type, entry["name"]).__set__ for entry in newest["fields"]}
        self._check = check_of(newest)
        self._known: dict[bytes, _Head] = {}

    def read(self, value: bytes) -> tuple[object, int]:
        """The record that a value holds, and where it ends.

        Raises what fastavro and the record do, and ValueError where columns differ in length.
        """
        buffer = io.BytesIO(value)
        if self._head is None:
            buffer.seek(self._begin)
            record = self._record(self._rest.read(buffer))
        else:
            probe = _probe(value, self._begin)
            head = self._known.get(probe)
            if head is None or not value.startswith(head.value):
                head = self._learn(probe, self._head, buffer)
            buffer.seek(len(head.value))
            record = self._record(head.fields, self._rest.read(buffer))
        if self._check is not None:
            self._check(record)
        return record, buffer.tell()

    def _record(self, *parts: Mapping[str, Any]) -> object:
        """A record of all its fields.

        Its slots are filled without its `__init__`, which takes twice as long for a frozen dataclass.
        """
        record = object.__new__(self._type)
        for fields in parts:
            for name, value in fields.items():
                self._set[name](record, value)
        return record

    def _learn(self, probe: bytes, fields: _Fields, buffer: io.BytesIO) -> _Head:
        buffer.seek(self._begin)
        found = fields.read(buffer) | self._added
        head = _Head(buffer.getvalue()[: buffer.tell()], found)
        if len(self._known) >= _KNOWN_HEADS:
            self._known.clear()
        if len(head.value) <= _LONGEST_HEAD_BYTES:
            self._known[probe] = head
        return head


class ResolvingReader:
    """Reads what an older version of a record wrote: new fields get their defaults, removed ones are skipped.

    Args:
        writer: schema that the bodies were written by.
        reader: newest schema of the record.
        begin: where in a value the body begins.
    """

    def __init__(self, writer: Mapping[str, Any], reader: Mapping[str, Any], begin: int) -> None:
        self._begin = begin
        self._writer, self._reader = parsed(writer), parsed(reader)
        self._build = _builder(reader)
        self._check = check_of(reader)
        # fastavro leaves the default of bytes as it stands.
        added = [entry for entry in _added(writer, reader) if entry["type"] == "bytes"]
        self._added_bytes = {entry["name"]: _default(entry) for entry in added}

    def read(self, value: bytes) -> tuple[object, int]:
        """As `Reader.read`."""
        buffer = io.BytesIO(value)
        buffer.seek(self._begin)
        fields = fastavro.schemaless_reader(buffer, self._writer, self._reader)
        record = self._build(fields | self._added_bytes)
        if self._check is not None:
            self._check(record)
        return record, buffer.tell()


def reader_of(writer: Mapping[str, Any], newest: Mapping[str, Any], begin: int) -> Reader | ResolvingReader:
    """What reads the bodies of one schema as records of the newest; arguments are those of `Reader`."""
    if writer is newest or _can_be_filled_up(writer, newest):
        return Reader(writer, newest, begin)
    return ResolvingReader(writer, newest, begin)


def _can_be_filled_up(writer: Mapping[str, Any], newest: Mapping[str, Any]) -> bool:
    """Whether a body of columns by an older schema lacks nothing but texts and bytes that have defaults."""
    types = {entry["name"]: entry["type"] for entry in newest["fields"]}
    return (
        _has_columns(writer)
        and all(types.get(entry["name"]) == entry["type"] for entry in writer["fields"])
        and all(entry["type"] in ("string", "bytes") for entry in _added(writer, newest))
    )


def _added(writer: Mapping[str, Any], newest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The fields that an older schema did not have."""
    known = {entry["name"] for entry in writer["fields"]}
    return [entry for entry in newest["fields"] if entry["name"] not in known]


def _default(entry: Mapping[str, Any]) -> str | bytes:
    """The default of a text or of bytes, which are text in Avro's JSON too."""
    default: str = entry["default"]
    return default.encode("latin-1") if entry["type"] == "bytes" else default


class _Fields:
    """Reads some consecutive fields of a record."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = parsed(schema)
        self._convert = _converter(schema)

    def read(self, buffer: io.BytesIO) -> dict[str, Any]:
        """The fields by name, as our dataclasses hold them."""
        return self._convert(fastavro.schemaless_reader(buffer, self._schema, None))


def _probe(value: bytes, begin: int) -> bytes:
    """What heads are looked up by: all up to the end of a batch's first two texts, its run and its service.

    Texts of 64 bytes and more have a length of two bytes, so the end is another; it is only looked up by.
    """
    end = begin
    for _ in range(2):
        if end < len(value):
            end += 1 + (value[end] >> 1)
    return value[:end]


def _has_columns(schema: Mapping[str, Any]) -> bool:
    return any(entry["type"] == "bytes" for entry in schema["fields"])


def _converter(schema: Mapping[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function from fastavro's fields to those of our dataclass."""
    arrays = [entry["name"] for entry in schema["fields"] if is_array(entry)]
    nested = {
        entry["name"]: _builder(entry["type"]["items"]) for entry in schema["fields"] if holds_records(entry)
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
