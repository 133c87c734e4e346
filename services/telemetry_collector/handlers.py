"""A body in; rows and refused records for the inbox, and the answer that holds once they are durable."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.adapters.otlp import answers
from microservo.adapters.otlp.decoding import decode
from microservo.adapters.otlp.media import Media
from microservo.adapters.otlp.requests import parse
from microservo.domain.telemetry import Signal
from services.telemetry_collector.inbox import Parcel, Undecodable


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    media: Media


def handle(signal: Signal, media: Media, body: bytes, now_us: int) -> tuple[Parcel, Reply]:
    """What a body holds, and the answer to it.

    Raises:
        InvalidMessage: the body can't be read.
    """
    found = decode(parse(signal, media, body), now_us)
    answer = answers.success(signal, media, rejected=len(found.refused), reason=found.reason)
    parcel = Parcel(signal=signal, rows=found.rows, refused=found.refused)
    return parcel, Reply(status=200, body=answer, media=media)


def undecodable(signal: Signal, raw: bytes, content_type: str, reason: str) -> Parcel:
    """A body that can't be read, on its way to the dead-letter topic as it came."""
    return Parcel(signal=signal, undecodable=Undecodable(raw=raw, content_type=content_type, reason=reason))
