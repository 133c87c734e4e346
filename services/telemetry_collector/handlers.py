"""A body in; rows and refused records for the inbox, and the answer that holds once they are durable."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.adapters.otlp import answers
from microservo.adapters.otlp.bounded import requests_of
from microservo.adapters.otlp.checks import joined
from microservo.adapters.otlp.decoding import decode
from microservo.adapters.otlp.media import Media
from microservo.domain.telemetry import Signal
from schemas.catalogue import MAX_MESSAGE_BYTES
from services.telemetry_collector.inbox import Parcel, Undecodable


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    media: Media


def handle(
    signal: Signal, media: Media, body: bytes, now_us: int, limit_records: int
) -> tuple[Parcel, Reply]:
    """What a body holds, and the answer to it.

    Raises:
        InvalidMessage: the body can't be read.
        TooManyRecords: it holds more than `limit_records`.
        TooLarge: it holds one that is too large by itself.
    """
    found = joined([decode(each, now_us) for each in requests_of(signal, media, body, limit_records)])
    answer = answers.success(signal, media, rejected=len(found.refused), reason=found.reason)
    parcel = Parcel(signal=signal, rows=found.rows, refused=found.refused)
    return parcel, Reply(status=200, body=answer, media=media)


def undecodable(signal: Signal, raw: bytes, content_type: str, reason: str) -> Parcel:
    """A body that can't be used, on its way to the dead-letter topic as it came.

    Of one that is larger than any message only the beginning is kept: it may have to wait for Kafka.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raw, reason = raw[:MAX_MESSAGE_BYTES], f"{reason} (the beginning of {len(raw)} bytes)"
    return Parcel(signal=signal, undecodable=Undecodable(raw=raw, content_type=content_type, reason=reason))
