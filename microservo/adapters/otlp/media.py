"""How a request is written: media types, compression, and the bound on what it may unpack to."""

from __future__ import annotations

import gzip
import io
import zlib
from enum import Enum

from microservo.errors import InvalidInput, InvalidMessage

MAX_BODY_BYTES = 16 * 1024 * 1024
"""After decompression. The OTLP specification recommends 64 MiB; exporters send some hundred KB."""


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
        TooLarge: it unpacks to more than `limit_bytes`.
        InvalidMessage: it isn't gzip, or is cut short.
    """
    try:
        with gzip.open(io.BytesIO(body)) as unpacker:
            unpacked = unpacker.read(limit_bytes + 1)
    except EOFError as error:
        msg = "gzip body is cut short; send it whole"
        raise InvalidMessage(msg) from error
    except (OSError, zlib.error) as error:
        msg = f"body is not gzip: {error}"
        raise InvalidMessage(msg) from error
    if len(unpacked) > limit_bytes:
        msg = f"body unpacks to more than {limit_bytes} bytes; send smaller batches"
        raise TooLarge(msg)
    return unpacked
