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
_OUTER, _INNER = 1, 2
_LONGEST_VARINT = 10


class _Run(NamedTuple):
    """Neighbouring fields of one number: where they begin and end in the body."""

    number: int
    begin: int
    end: int

    @property
    def is_large(self) -> bool:
        """Whether this is one field that is larger than a piece; several never are."""
        return self.end - self.begin > PIECE_BYTES


def pieces(body: bytes, limit_fields: int) -> Iterator[bytes]:
    """Requests that hold together the records of the request `body`, in its order.

    A body of 2 MiB or less is handed on as it is; the pieces of others have no more than that, with their
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
    for run in walk.runs(0, len(body)):
        if run.is_large:
            yield from _pieces_of_group(walk, walk.inside(run))
        else:
            yield body[run.begin : run.end]


def _pieces_of_group(walk: _Walk, runs: list[_Run]) -> Iterator[bytes]:
    # It may stand behind what it belongs to.
    resource = b"".join([walk.small(run, "resource") for run in runs if run.number != _INNER])
    walk.refuse_large(len(resource), "resource")
    for run in runs:
        if run.number != _INNER:
            continue
        if run.is_large:
            for records in walk.inside(run):
                yield _nested(_OUTER, resource + _nested(_INNER, walk.small(records, "record")))
        else:
            yield _nested(_OUTER, resource + walk.small(run, "scope"))


class _Walk:
    """Steps through the fields of a body, not more of them than a bound."""

    def __init__(self, body: bytes, limit_fields: int) -> None:
        self._body = body
        self._limit = limit_fields
        self._left = limit_fields

    def inside(self, run: _Run) -> list[_Run]:
        """The runs of the message that a run of one field holds."""
        tag, at = self._varint(run.begin)
        if tag & 7 != _BYTES:
            self._refuse(run.begin)
        return list(self.runs(self._varint(at)[1], run.end))

    def runs(self, at: int, end: int) -> Iterator[_Run]:
        """The fields of the message that stands there, in runs of 2 MiB at most or of one field."""
        begin, number = at, 0
        while at < end:
            found, following = self._field(at)
            if following > end:
                self._refuse(at)
            if at > begin and (found != number or following - begin > PIECE_BYTES):
                yield _Run(number, begin, at)
                begin = at
            number, at = found, following
        if at > begin:
            yield _Run(number, begin, at)

    def small(self, run: _Run, what: str) -> bytes:
        """The bytes of a run, which must not be larger than a piece."""
        self.refuse_large(run.end - run.begin, what)
        return self._body[run.begin : run.end]

    def refuse_large(self, size_bytes: int, what: str) -> None:
        if size_bytes > PIECE_BYTES:
            msg = f"one {what} has {size_bytes} bytes, the limit is {PIECE_BYTES}; send smaller ones"
            raise TooLarge(msg)

    def _field(self, at: int) -> tuple[int, int]:
        """The number of the field that stands there, and where it ends."""
        self._left -= 1
        if self._left < 0:
            raise TooManyRecords.beyond(self._limit, "groups and records")
        head = self._body[at : at + 3]
        # Nearly all: a message with a length of two bytes.
        if len(head) == 3 and head[0] & 0x87 == _BYTES and head[1] > 127 > head[2]:
            return head[0] >> 3, at + 3 + (head[1] & 127 | head[2] << 7)
        tag, value = self._varint(at)
        if tag & 7 == _BYTES:
            length, value = self._varint(value)
            return tag >> 3, value + length
        return tag >> 3, self._after(tag & 7, value)

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
