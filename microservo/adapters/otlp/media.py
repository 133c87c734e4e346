"""How a request is written: media types, compression, and the bound on what it may unpack to.

The bound is on the size alone. A bound on the ratio that stops a bomb stops honest senders, too: thousands of
equal stack traces, which a retry loop writes, shrink to a thousandth.
"""

from __future__ import annotations

import zlib
from enum import Enum

import zstandard

from microservo.errors import InvalidInput, InvalidMessage

MAX_BODY_BYTES = 64 * 1024 * 1024
"""After decompression, as the OTLP specification recommends."""
_MAX_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
"""What a decoder should support at least and an encoder use at most (RFC 8878, 3.1.1.1.2)."""
_STEP_BYTES = 256 * 1024


class Media(Enum):
    """The two encodings of OTLP/HTTP, by their media type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


class Compression(Enum):
    """How a body is compressed, by the name in Content-Encoding."""

    NONE = "identity"
    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"


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


def compression_of(content_encoding: str) -> Compression:
    """The compression that a Content-Encoding names.

    Raises:
        InvalidInput: it names another one, or several.
    """
    name = content_encoding.strip().lower()
    try:
        return Compression(name) if name else Compression.NONE
    except ValueError:
        msg = f"content encoding {name!r} is not understood; send gzip, deflate, zstd or none"
        raise InvalidInput(msg) from None


def unpack(body: bytes, compression: Compression, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The unpacked body; never holds more than `limit_bytes` and a step.

    Raises:
        TooLarge: it unpacks to more than `limit_bytes`.
        InvalidMessage: it isn't compressed so, or is cut short.
    """
    if compression is Compression.NONE or not body:
        return body
    try:
        if compression is Compression.ZSTD:
            return _unzstd(body, limit_bytes)
        return _inflate(body, compression, limit_bytes)
    except (zlib.error, zstandard.ZstdError) as error:
        msg = f"body is not {compression.value}: {error}"
        raise InvalidMessage(msg) from error


def _inflate(body: bytes, compression: Compression, limit_bytes: int) -> bytes:
    """Of gzip each member, one after the other; of deflate the one stream."""
    parts: list[bytes] = []
    size_bytes = 0
    rest = body
    while True:
        unpacker = _inflater(rest, compression)
        while not unpacker.eof:
            part = unpacker.decompress(rest, _STEP_BYTES)
            rest = unpacker.unconsumed_tail
            size_bytes += len(part)
            _refuse_large(size_bytes, limit_bytes)
            if not part and not rest and not unpacker.eof:
                raise _cut_short(compression)
            parts.append(part)
        # Padding with zeros is allowed behind a gzip member.
        rest = unpacker.unused_data.lstrip(b"\0")
        if not rest:
            return b"".join(parts)
        if compression is Compression.DEFLATE:
            msg = f"{len(rest)} bytes follow its end"
            raise zlib.error(msg)


def _inflater(body: bytes, compression: Compression) -> zlib._Decompress:
    if compression is Compression.GZIP:
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    # HTTP's deflate has zlib's header (RFC 9110, 8.4.1.2); some senders leave it away.
    has_header = len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _unzstd(body: bytes, limit_bytes: int) -> bytes:
    """Each frame, one after the other."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
    # Only the reader is bounded, and only the other interface notices an end that is missing.
    step = bytearray(_STEP_BYTES)
    size_bytes = 0
    with unpacker.stream_reader(body, read_across_frames=True) as reader:
        while count := reader.readinto(step):
            size_bytes += count
            _refuse_large(size_bytes, limit_bytes)
    parts: list[bytes] = []
    rest = body
    while rest:
        frame = unpacker.decompressobj()
        parts.append(frame.decompress(rest))
        if not frame.eof:
            raise _cut_short(Compression.ZSTD)
        rest = frame.unused_data
    return b"".join(parts)


def _refuse_large(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        msg = f"body unpacks to more than {limit_bytes} bytes; send smaller batches"
        raise TooLarge(msg)


def _cut_short(compression: Compression) -> InvalidMessage:
    return InvalidMessage(f"{compression.value} body is cut short; send it whole")
