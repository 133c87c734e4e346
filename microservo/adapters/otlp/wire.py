"""Large protobuf bodies, taken apart unparsed, so that no more than a piece of one is in memory as objects.

Parsed, a body of empty spans takes eighty times its bytes. The requests of all signals are nested alike
(opentelemetry-proto, `collector/*/v1`), so one walk serves them::

    request ── 1 group of a resource ─┬─ 1 resource
                                      └─ 2 group of a scope ── 2 record
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from microservo.adapters.otlp.media import TooLarge, TooManyRecords
from microservo.errors import InvalidMessage

PIECE_BYTES = 2 * 1024 * 1024
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GROUP, _RECORDS = 1, 2
_LONGEST_VARINT = 10


class _Field(NamedTuple):
    """Where a field stands in a body: from its tag, and from its value on."""

    number: int
    begin: int
    value: int
    end: int


def pieces(body: bytes, limit_fields: int) -> Iterator[bytes]:
    """Requests that hold together the records of the request `body`, in its order.

    Those of 2 MiB or less are handed on as they are; the pieces of others have no more than that, with their
    resource twice that.

    Raises:
        InvalidMessage: it isn't protobuf.
        TooLarge: one record, or one resource, is larger than a piece.
        TooManyRecords: it has more than `limit_fields` groups and records.
    """
    if len(body) <= PIECE_BYTES:
        yield body
        return
    walk = _Walk(body, limit_fields)
    waiting = bytearray()
    for each in walk.fields(0, len(body)):
        if waiting and len(waiting) + each.end - each.begin > PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
        if each.number == _GROUP and each.end - each.begin > PIECE_BYTES:
            yield from _pieces_of_group(walk, each)
        else:
            waiting += body[each.begin : each.end]
    if waiting:
        yield bytes(waiting)


def _pieces_of_group(walk: _Walk, group: _Field) -> Iterator[bytes]:
    scopes = []
    # The resource may stand behind what it belongs to.
    resource = bytearray()
    for each in walk.fields(group.value, group.end):
        if each.number == _RECORDS:
            scopes.append(each)
        else:
            resource += walk.small(each, "resource")
            walk.refuse_large(len(resource), "resource")
    records = bytearray()
    for scope in scopes:
        for each in walk.fields(scope.value, scope.end):
            if each.number != _RECORDS:
                continue
            record = walk.small(each, "record")
            if len(records) + len(record) > PIECE_BYTES:
                yield _nested(_GROUP, bytes(resource) + _nested(_RECORDS, bytes(records)))
                records.clear()
            records += record
    yield _nested(_GROUP, bytes(resource) + _nested(_RECORDS, bytes(records)))


class _Walk:
    """Steps through the fields of a body, not more of them than a bound."""

    def __init__(self, body: bytes, limit_fields: int) -> None:
        self._body = body
        self._limit = limit_fields
        self._left = limit_fields

    def fields(self, at: int, end: int) -> Iterator[_Field]:
        """The fields of the message that stands there."""
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise TooManyRecords.beyond(self._limit, "groups and records")
            tag, value = self._varint(at)
            if tag & 7 == _BYTES:
                length, value = self._varint(value)
                following = value + length
            else:
                following = self._after(tag & 7, value)
            if following > end:
                self._refuse(at)
            yield _Field(tag >> 3, at, value, following)
            at = following

    def small(self, field: _Field, what: str) -> bytes:
        """The bytes of a field, tag and all, that must not be larger than a piece."""
        self.refuse_large(field.end - field.begin, what)
        return self._body[field.begin : field.end]

    def refuse_large(self, size_bytes: int, what: str) -> None:
        if size_bytes > PIECE_BYTES:
            msg = f"one {what} has {size_bytes} bytes, the limit is {PIECE_BYTES}; send smaller ones"
            raise TooLarge(msg)

    def _after(self, kind: int, at: int) -> int:
        """Where the value of a field that begins there ends, if it is a number."""
        if kind == _VARINT:
            return self._varint(at)[1]
        if kind not in {_FIXED32, _FIXED64}:
            self._refuse(at)
        return at + (4 if kind == _FIXED32 else 8)

    def _varint(self, at: int) -> tuple[int, int]:
        """The number that stands there, and where it ends."""
        number = 0
        for index, byte in enumerate(self._body[at : at + _LONGEST_VARINT]):
            number |= (byte & 127) << 7 * index
            if byte < 128:
                return number, at + index + 1
        self._refuse(at)

    def _refuse(self, at: int) -> NoReturn:
        msg = f"body of {len(self._body)} bytes is no protobuf: what stands at byte {at} is no field"
        raise InvalidMessage(msg)


def _nested(number: int, message: bytes) -> bytes:
    """A message as a field of another."""
    length = len(message)
    written = bytearray([number << 3 | _BYTES])
    while length > 127:
        written.append(length & 127 | 128)
        length >>= 7
    written.append(length)
    return bytes(written) + message
