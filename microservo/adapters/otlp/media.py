"""How a request is written: media types, compression, and the bound on what it may unpack to."""

from __future__ import annotations

import zlib
from enum import Enum

from microservo.errors import InvalidInput, InvalidMessage

MAX_BODY_BYTES = 64 * 1024 * 1024
"""The limit that the OTLP specification recommends, after decompression."""
_GZIP_WINDOW = 31
_STEP_BYTES = 256 * 1024
_MAX_RATIO = 100
_ANY_RATIO_BYTES = 2 * 1024 * 1024
"""Up to here any ratio is fine. Telemetry shrinks to a tenth or a thirtieth; gzip goes to a thousandth.

A body that unpacks so far is made of empty records: two bytes each, nearly two hundred once parsed, so that
64 KB would become gigabytes.
"""


class Media(Enum):
    """The two encodings of OTLP/HTTP, by their media type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


class TooLarge(InvalidInput):
    """A body is larger, once unpacked, than the receiver takes."""


class TooManyRecords(TooLarge):
    """A body holds more records than the receiver takes at once."""

    @classmethod
    def beyond(cls, limit: int, what: str = "records") -> TooManyRecords:
        """The error of a body with more than `limit`."""
        return cls(f"body holds more than {limit} {what}; send smaller batches")


def media_of(content_type: str) -> Media:
    """The encoding that a Content-Type names; its parameters don't matter.

    Raises:
        InvalidInput: it names another one.
    """
    name = content_type.partition(";")[0].strip().lower()
    try:
        return Media(name)
    except ValueError:
        msg = f"content type {name!r} is not understood; send application/x-protobuf or application/json"
        raise InvalidInput(msg) from None


def is_gzip(content_encoding: str) -> bool:
    """Whether a body is compressed with gzip.

    Raises:
        InvalidInput: it is compressed in another way.
    """
    name = content_encoding.strip().lower()
    if name in {"", "identity"}:
        return False
    if name == "gzip":
        return True
    msg = f"content encoding {name!r} is not understood; send gzip or none"
    raise InvalidInput(msg)


def gunzip(body: bytes, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The unpacked body; never holds more than `limit_bytes` and a step.

    Raises:
        TooLarge: it unpacks to more than `limit_bytes`, or above 2 MiB to more than 100 times its size.
        InvalidMessage: it isn't gzip, or is cut short.
    """
    unpacked = bytearray()
    limit_bytes = min(limit_bytes, max(_ANY_RATIO_BYTES, _MAX_RATIO * len(body)))
    rest = body
    try:
        while rest:
            rest = _member(rest, unpacked, limit_bytes)
    except zlib.error as error:
        msg = f"body is not gzip: {error}"
        raise InvalidMessage(msg) from error
    return bytes(unpacked)


def _member(packed: bytes, unpacked: bytearray, limit_bytes: int) -> bytes:
    """Unpacks one member of a gzip file; returns what follows it."""
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    while not unpacker.eof:
        unpacked += unpacker.decompress(packed, _STEP_BYTES)
        if len(unpacked) > limit_bytes:
            msg = f"body unpacks to more than {limit_bytes} bytes; send smaller batches"
            raise TooLarge(msg)
        packed = unpacker.unconsumed_tail
        if not packed and not unpacker.eof and not _has_more(unpacker, unpacked):
            msg = "gzip body is cut short; send it whole"
            raise InvalidMessage(msg)
    return unpacker.unused_data


def _has_more(unpacker: zlib._Decompress, unpacked: bytearray) -> bool:
    """Whether the unpacker still held output back after its input was used up."""
    held_back = unpacker.decompress(b"", _STEP_BYTES)
    unpacked += held_back
    return bool(held_back) or unpacker.eof
