"""Protobuf bodies taken apart before their records are parsed.

So no more than a piece of a large body is in memory as objects (empty spans take eighty times their bytes),
and a record that can't be parsed costs only itself: protobuf's own parser refuses a whole body for one
broken text.

The requests of all signals are nested alike (opentelemetry-proto, `collector/*/v1`), and a message on the
wire is the same as bytes. So one message type, whose fields 1 and 2 are bytes, reads every level::

    request ── 1 group of a resource ─┬─ 1 resource ── 1 attribute
                                      └─ 2 group of a scope ── 2 record
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from microservo.adapters.otlp.checks import Refused
from microservo.adapters.otlp.media import Media, TooLarge, TooManyRecords

PIECE_BYTES = 2 * 1024 * 1024
_METRIC_DATA = (5, 7, 9, 10, 11)
"""The fields of a Metric that hold points, each in its field 1."""


def _type_with_bytes(name: str, fields: Sequence[int]) -> Callable[..., Any]:
    """A message type whose fields are repeated bytes; what else a message holds is kept as it is."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"microservo/{name}.proto", package="microservo.otlp")
    file.message_type.add(name=name).field.extend(
        kind(name=f"f{number}", number=number, type=kind.TYPE_BYTES, label=kind.LABEL_REPEATED)
        for number in fields
    )
    # A pool of its own: OTLP's files are none of this one's business.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"microservo.otlp.{name}"))


_Envelope = _type_with_bytes("Envelope", (1, 2))
_MetricEnvelope = _type_with_bytes("MetricEnvelope", _METRIC_DATA)


def pieces(body: bytes, limit_records: int) -> Iterator[bytes | Refused]:
    """Requests that hold together the records of the request `body`, in its order.

    A body of 2 MiB or less is handed on as it is; the pieces of others have no more than that, with their
    resource twice that. A record that is larger by itself is refused.

    Raises:
        DecodeError: it isn't protobuf.
        TooLarge: one resource is larger than a piece.
        TooManyRecords: on one level it has more than `limit_records`.
    """
    if len(body) <= PIECE_BYTES:
        yield body
        return
    for groups in _chunks(_opened(body).f1, limit_records):
        if len(groups) == 1 and len(groups[0]) > PIECE_BYTES:
            yield from _pieces_of_group(groups[0], limit_records)
        else:
            yield _closed(f1=groups)


def _pieces_of_group(group: bytes, limit_records: int) -> Iterator[bytes | Refused]:
    opened = _opened(group)
    if sum(map(len, opened.f1)) > PIECE_BYTES:
        msg = f"one resource has more than {PIECE_BYTES} bytes; send fewer attributes"
        raise TooLarge(msg)
    for scopes in _chunks(opened.f2, limit_records):
        if len(scopes) > 1 or len(scopes[0]) <= PIECE_BYTES:
            yield _closed(f1=[_closed(f1=opened.f1, f2=scopes)])
            continue
        for records in _chunks(_opened(scopes[0]).f2, limit_records):
            if len(records[0]) > PIECE_BYTES:
                yield _refused_large(records[0])
                continue
            yield _closed(f1=[_closed(f1=opened.f1, f2=[_closed(f2=records)])])


def salvage(piece: bytes, request: Message, names: Sequence[str]) -> list[Refused]:
    """Adds to a request the records of a piece that can be parsed, and returns those that can't.

    Attributes of a resource that can't be parsed are left out.

    Args:
        piece: protobuf.
        request: an empty one of its signal.
        names: the fields of group, scope and record.

    Raises:
        DecodeError: it isn't protobuf, down to its records.
    """
    refused: list[Refused] = []
    for group in _opened(piece).f1:
        opened = _opened(group)
        target = getattr(request, names[0]).add()
        target.resource.CopyFrom(_resource(b"".join(opened.f1)))
        for scope in opened.f2:
            records = getattr(getattr(target, names[1]).add(), names[2])
            for record in _opened(scope).f2:
                refused += _add_parsed(records, record)
    return refused


def _resource(raw: bytes) -> Resource:
    try:
        return Resource.FromString(raw)
    except DecodeError:
        resource = Resource()
        for attribute in _opened(raw).f1:
            _add_parsed(resource.attributes, attribute)
        return resource


def _add_parsed(records: Any, raw: bytes) -> list[Refused]:
    """Adds a record; returns it, or of a metric its points, where they can't be parsed."""
    added = records.add()
    try:
        added.ParseFromString(raw)
    except DecodeError as error:
        del records[-1]
        points = _points(raw) if isinstance(added, Metric) else []
        if len(points) > 1:
            return [refused for point in points for refused in _add_parsed(records, point)]
        return [_unreadable(type(added).__name__, raw, error)]
    return []


def _points(raw: bytes) -> list[bytes]:
    """The metric with one point only, for each of its points."""
    try:
        metric = _MetricEnvelope()
        metric.ParseFromString(raw)
        found: list[bytes] = []
        for number in _METRIC_DATA:
            for data in getattr(metric, f"f{number}"):
                opened = _opened(data)
                for point in list(opened.f1):
                    opened.f1[:] = [point]
                    alone = _MetricEnvelope()
                    alone.CopyFrom(metric)
                    for other in _METRIC_DATA:
                        alone.ClearField(f"f{other}")
                    getattr(alone, f"f{number}").append(opened.SerializeToString())
                    found.append(alone.SerializeToString())
    except DecodeError:
        return []
    return found


def _unreadable(what: str, raw: bytes, error: DecodeError) -> Refused:
    why = str(error).rpartition(": ")[2] or "it is no protobuf"
    return Refused(reason=f"{what} can't be read: {why}", document=raw, content_type=Media.PROTOBUF.value)


def _refused_large(record: bytes) -> Refused:
    reason = f"record has {len(record)} bytes, the limit is {PIECE_BYTES}; send smaller ones"
    # Its beginning is all that a dead letter has room for.
    return Refused(reason=reason, document=record[:PIECE_BYTES], content_type=Media.PROTOBUF.value)


def _opened(raw: bytes) -> Any:
    opened = _Envelope()
    opened.ParseFromString(raw)
    return opened


def _closed(**fields: Sequence[bytes]) -> bytes:
    written: bytes = _Envelope(**fields).SerializeToString()
    return written


def _chunks(parts: Sequence[bytes], limit: int) -> Iterator[list[bytes]]:
    """Neighbouring parts, 2 MiB of them at most or one that is larger by itself."""
    # Asked of protobuf's own list: as objects of Python they would already take too much.
    if len(parts) > limit:
        raise TooManyRecords.beyond(limit)
    chunk: list[bytes] = []
    size_bytes = 0
    for part in parts:
        if chunk and size_bytes + len(part) > PIECE_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(part)
        size_bytes += len(part)
    if chunk:
        yield chunk
