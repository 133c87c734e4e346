"""A request as it came in over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from microservo.adapters.otlp.media import Media, TooLarge, gunzip, is_gzip
from microservo.domain.telemetry import Signal

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request whose body is still unread."""

    signal: Signal
    media: Media
    gzip: bool
    size_bytes: int
    stream: BinaryIO

    @property
    def content_type(self) -> str:
        """How the raw body is written, for who finds it among the dead letters."""
        return f"{self.media.value}; encoding=gzip" if self.gzip else self.media.value

    def read(self) -> bytes:
        """The body as it was sent."""
        return self.stream.read(self.size_bytes)

    def unpacked(self, raw: bytes, limit_bytes: int) -> bytes:
        """The body without its compression.

        Raises:
            TooLarge: it has more than `limit_bytes`.
            InvalidMessage: it is not what its Content-Encoding says.
        """
        body = gunzip(raw, limit_bytes) if self.gzip else raw
        if len(body) > limit_bytes:
            msg = f"body of {len(body)} bytes is larger than {limit_bytes}; send smaller batches"
            raise TooLarge(msg)
        return body


def received(environ: WSGIEnvironment, signal: Signal, media: Media) -> Received:
    """The request of a WSGI environment.

    Raises:
        InvalidInput: its Content-Encoding is not understood.
    """
    return Received(
        signal=signal,
        media=media,
        gzip=is_gzip(environ.get("HTTP_CONTENT_ENCODING", "")),
        size_bytes=int(environ.get("CONTENT_LENGTH") or 0),
        stream=cast("BinaryIO", environ["wsgi.input"]),
    )
