"""A body in; rows and refused records for the sink, and the answer that holds once they are durable."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.adapters.otlp import answers
from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode_body
from microservo.adapters.otlp.media import Media
from microservo.domain.telemetry import Signal
from microservo.sources.source import Parcel, Undecodable
from schemas.catalogue import MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer; `close` ends the connection after it."""

    status: int
    body: bytes
    media: Media
    close: bool = False


def handle(
    signal: Signal, media: Media, body: bytes, instants: Instants, limit_records: int
) -> tuple[Parcel, Reply]:
    """What an unpacked body holds, and the answer to it; raises as `decode_body`."""
    found = decode_body(signal, media, body, instants, limit_records)
    answer = answers.success(signal, media, rejected=found.rejected, reason=found.reason)
    parcel = Parcel(signal=signal, rows=found.rows, refused=found.refused)
    return parcel, Reply(status=200, body=answer, media=media)


def undecodable(signal: Signal, raw: bytes, content_type: str, reason: str) -> Parcel:
    """A body that can't be used, on its way to the dead-letter topic as it came.

    Of one that is larger than any message only the beginning is kept: it may have to wait for Kafka.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raw, reason = raw[:MAX_MESSAGE_BYTES], f"{reason} (the beginning of {len(raw)} bytes)"
    return Parcel(signal=signal, undecodable=Undecodable(raw=raw, content_type=content_type, reason=reason))
