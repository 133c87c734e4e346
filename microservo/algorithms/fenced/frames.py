"""Frames: what both ends of the pipe say to each other, a JSON header and raw bytes.

::

    "MSF1" | header length (u32) | body length (u32) | header (JSON, UTF-8) | body

Numbers are little-endian. A table in a body is float64, row by row; its shape is in the header.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

PREFIX = struct.Struct("<4sII")
MAGIC = b"MSF1"
MAX_HEADER_BYTES = 8 << 20
FLOAT_BYTES = 8


class BrokenFrame(ValueError):
    """The bytes are no frame, so nothing that follows can be read either."""


def encode(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """The bytes of a frame.

    Raises:
        ValueError: the header holds a number that JSON has not (NaN, infinity).
        BrokenFrame: it is larger than any reader takes.
    """
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    if len(text) > MAX_HEADER_BYTES:
        msg = f"a header of {len(text)} bytes; expected at most {MAX_HEADER_BYTES}"
        raise BrokenFrame(msg)
    return PREFIX.pack(MAGIC, len(text), len(body)) + text + body


def lengths(prefix: bytes, max_body_bytes: int) -> tuple[int, int]:
    """How long header and body are, in bytes.

    Raises:
        BrokenFrame: this is not how a frame begins, or it is larger than what may come.
    """
    magic, header_bytes, body_bytes = PREFIX.unpack(prefix)
    if magic != MAGIC:
        msg = f"a frame began with {magic!r}; expected {MAGIC!r}"
        raise BrokenFrame(msg)
    if header_bytes > MAX_HEADER_BYTES or body_bytes > max_body_bytes:
        msg = (
            f"a frame with a header of {header_bytes} and a body of {body_bytes} bytes; "
            f"expected at most {MAX_HEADER_BYTES} and {max_body_bytes}"
        )
        raise BrokenFrame(msg)
    return header_bytes, body_bytes


def decode_header(text: bytes) -> dict[str, Any]:
    """The header.

    Raises:
        BrokenFrame: it is no JSON object.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"a header that is not JSON ({error})"
        raise BrokenFrame(msg) from error
    if not isinstance(header, dict):
        msg = f"a header that is a {type(header).__name__}; expected an object"
        raise BrokenFrame(msg)
    return header


def read(stream: BinaryIO, max_body_bytes: int = 1 << 32) -> tuple[dict[str, Any], bytes] | None:
    """The next frame; None where the stream ends.

    Raises:
        BrokenFrame: the stream ends within a frame, or holds something else.
    """
    prefix = stream.read(PREFIX.size)
    if not prefix:
        return None
    if len(prefix) < PREFIX.size:
        msg = "the stream ended within the prefix of a frame"
        raise BrokenFrame(msg)
    header_bytes, body_bytes = lengths(prefix, max_body_bytes)
    text, body = stream.read(header_bytes), stream.read(body_bytes)
    if len(text) < header_bytes or len(body) < body_bytes:
        msg = "the stream ended within a frame"
        raise BrokenFrame(msg)
    return decode_header(text), body


def floats(body: bytes) -> list[float]:
    """The numbers of a body."""
    values = array("d")
    values.frombytes(body)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def float_bytes(values: Sequence[float]) -> bytes:
    """A body of numbers."""
    packed = array("d", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
