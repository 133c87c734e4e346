"""The body of a request, read from the network within bounds."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from microservo.adapters.otlp.media import Compression, Media, TooLarge, compression_of, media_of
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidInput, Retryable


class TooManyBodies(Retryable):
    """Other requests hold all the memory that there is for bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyKind:
    """What a request says of its body."""

    signal: Signal
    media: Media
    compression: Compression = Compression.NONE
    size_bytes: int = 0
    """0 where it comes in chunks and says nothing."""

    @property
    def content_type(self) -> str:
        """How the raw body is written, for who finds it among the dead letters."""
        if self.compression is Compression.NONE:
            return self.media.value
        return f"{self.media.value}; encoding={self.compression.value}"


def kind_of(request: Request, signal: Signal) -> BodyKind:
    """What the headers of a request say.

    Raises:
        InvalidInput: its type or its compression is not understood.
    """
    headers = request.headers
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        msg = f"content length {length[:32]!r} is no number; send the size of the body in bytes"
        raise InvalidInput(msg)
    return BodyKind(
        signal=signal,
        media=media_of(headers.get("content-type", "")),
        compression=compression_of(headers.get("content-encoding", "")),
        size_bytes=int(length),
    )


class BodyMemory:
    """The memory for bodies that are being read or decoded, of all requests together, from any thread."""

    def __init__(self, limit_bytes: int) -> None:
        self._free_bytes = limit_bytes
        self._lock = threading.Lock()

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """A reservation that grows with a body and is released at the end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            with self._lock:
                self._free_bytes += reservation.held_bytes

    def claim(self, size_bytes: int) -> None:
        """Reserves so much; raises as `Reservation.grow`."""
        with self._lock:
            if size_bytes > self._free_bytes:
                msg = "too many large bodies come in at once; send again later"
                raise TooManyBodies(msg)
            self._free_bytes -= size_bytes


class Reservation:
    """The memory of one body."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.held_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """Makes the reservation so large if it is smaller.

        Raises:
            TooManyBodies: there is no room for it now.
        """
        more_bytes = max(0, size_bytes - self.held_bytes)
        self._memory.claim(more_bytes)
        self.held_bytes += more_bytes


async def read_body(
    chunks: AsyncIterator[bytes], kind: BodyKind, limit_bytes: int, reservation: Reservation
) -> bytes:
    """The body as it was sent.

    Raises:
        TooLarge: it has more than `limit_bytes`; the rest is left unread.
        TooManyBodies: there is no room for it now.
    """
    _refuse_large(kind.size_bytes, limit_bytes, f"{kind.size_bytes} bytes")
    parts: list[bytes] = []
    size_bytes = 0
    async for chunk in chunks:
        size_bytes += len(chunk)
        _refuse_large(size_bytes, limit_bytes, "chunks")
        reservation.grow(size_bytes)
        parts.append(chunk)
    return b"".join(parts)


def _refuse_large(size_bytes: int, limit_bytes: int, size: str) -> None:
    if size_bytes > limit_bytes:
        msg = f"body of {size} is larger than {limit_bytes} bytes; send smaller batches"
        raise TooLarge(msg)
