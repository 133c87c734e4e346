"""The JSON documents in a file of OTLP, however OpenTelemetry's collector or a person has written them.

::

    a document a line            the collector's file exporter (JSON)
    a document over many lines   the same, put in order by an editor or `jq`
    4 bytes of length, zstd      the file exporter with `compression: zstd`, document by document
    the first two in gzip, zstd  files that were packed afterwards
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import zstandard

from microservo.adapters.otlp.media import MAX_BODY_BYTES, Compression, TooLarge, unpack
from microservo.errors import InvalidInput, InvalidMessage

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_LENGTH = 4
_WINDOW_BYTES = 8 << 20
_STEP_BYTES = 64 << 10
_PACKED_STEP_BYTES = 1 << 10
"""Of zstd, of which four bytes may stand for 128 KiB."""
_RATIO = 200
_FREE_OF_RATIO_BYTES = 1 << 20
"""Small files may be packed as well as they like."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')

Document = tuple[int, bytes]
"""The number of its first line, or of itself where there are no lines; and what it says."""


def documents(path: Path, name: str) -> Iterator[Document]:
    """The documents of a file, one after the other; none is larger than a request may be.

    Args:
        path: the file.
        name: what errors call it.

    Raises:
        InvalidInput: it is damaged, a document in it is too large, or it unpacks to far more than it is.
    """
    row = 0
    try:
        with path.open("rb") as file:
            head = file.read(_LENGTH + len(_ZSTD))
            file.seek(0)
            found = (
                _frames(file, name) if head[_LENGTH:] == _ZSTD else _texts(_unpacked(file, head, path), name)
            )
            for row, text in found:
                yield row, text
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)[:200]
        _refuse(name, row + 1, f"it can't be read: {reason}; is it complete?")


def _unpacked(file: BinaryIO, head: bytes, path: Path) -> BinaryIO:
    if head.startswith(_GZIP):
        parts = _inflated(file)
    elif head.startswith(_ZSTD):
        parts = _unzstd(file)
    else:
        return file
    return cast("BinaryIO", io.BufferedReader(_Bounded(parts, path), _STEP_BYTES))


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        while part := unpacked.read(_STEP_BYTES):
            yield part


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    """Each frame, one after the other. Only this interface notices an end that is missing."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    frame, is_open = unpacker.decompressobj(), False
    while raw := file.read(_PACKED_STEP_BYTES):
        while raw:
            is_open = True
            yield frame.decompress(raw)
            raw = b""
            if frame.eof:
                raw, frame, is_open = frame.unused_data, unpacker.decompressobj(), False
    if is_open:
        msg = "the end of a frame is missing"
        raise EOFError(msg)


class _Bounded(io.RawIOBase):
    """What is unpacked, up to so many times the size of the file."""

    def __init__(self, parts: Iterator[bytes], path: Path) -> None:
        super().__init__()
        self._parts = parts
        self._part = memoryview(b"")
        self._left = max(_FREE_OF_RATIO_BYTES, _RATIO * path.stat().st_size)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads as much as comes at once."""
        while not self._part:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._part = memoryview(part)
            self._left -= len(part)
            if self._left < 0:
                msg = f"it unpacks to more than {_RATIO} times its size; unpack it yourself if that is right"
                raise OSError(msg)
        size = min(len(buffer), len(self._part))
        buffer[:size], self._part = self._part[:size], self._part[size:]
        return size


def _frames(file: BinaryIO, name: str) -> Iterator[Document]:
    number = 0
    while length := file.read(_LENGTH):
        number += 1
        size = int.from_bytes(length, "big")
        if size > MAX_BODY_BYTES:
            _refuse(
                name, number, f"the message is said to be {size} bytes long; at most {MAX_BODY_BYTES} may be"
            )
        packed = file.read(size)
        if len(packed) < size:
            _refuse(name, number, "the message is cut short")
        try:
            yield number, unpack(packed, Compression.ZSTD)
        except (InvalidMessage, TooLarge) as error:
            _refuse(name, number, str(error))


def _texts(file: BinaryIO, name: str) -> Iterator[Document]:
    row, begin, depth = 0, 0, 0
    parts: list[bytes] = []
    size = 0
    while raw := file.readline(MAX_BODY_BYTES + 1):
        row += 1
        text = raw.strip()
        if not text and not parts:
            continue
        begin = begin if parts else row
        size += len(raw)
        if size > MAX_BODY_BYTES:
            what = "the line is" if row == begin else "the document from here on is"
            _refuse(name, begin, f"{what} longer than {MAX_BODY_BYTES} bytes")
        if not parts and (text[:1] != b"{" or text.endswith(b"}")):
            # Nearly all: a document, or what is none at all.
            yield row, raw
            size = 0
            continue
        parts.append(raw)
        depth += _depth(text)
        if depth <= 0:
            yield begin, b"".join(parts)
            parts, depth, size = [], 0, 0
    if parts:
        _refuse(name, row, f"the document that begins in row {begin} has no end; was it cut?")


def _depth(text: bytes) -> int:
    """How many more brackets are opened than closed; a string of JSON ends in its line."""
    outside = _STRING.sub(b"", text)
    return sum(outside.count(each) for each in b"{[") - sum(outside.count(each) for each in b"}]")


def _refuse(name: str, row: int, what: str) -> NoReturn:
    msg = f"{name}, row {row}: {what}"
    raise InvalidInput(msg)
