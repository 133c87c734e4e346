"""Headers: CloudEvents 1.0 in Kafka's binary mode, and the writer's stamp on topics that are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

Headers = tuple[tuple[str, bytes], ...]
HEARTBEAT_KEY = b"__heartbeat__"
"""Key of the messages without a value that only carry a stamp."""


def cloud_event(*, event_type: str, source: str, event_id: str, time_us: int) -> Headers:
    """CloudEvents headers of one message; `time_us` in microseconds UTC."""
    instant = datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="microseconds")
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", event_type.encode()),
        ("ce_time", instant.encode()),
        ("content-type", b"application/avro"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the writer of a partition promises with a message.

    Attributes:
        watermark_us: nothing older than this follows, except what is late by the windows' rule. Never falls.
        writer: stable name of the writer, kept over restarts.
        writers: how many writers share the partition.
        sequence: counts the writer's messages on this partition from 0, without gaps.
        total: records the writer has put on this partition so far, this message included.
    """

    watermark_us: int
    writer: str
    writers: int = 1
    sequence: int
    total: int

    def headers(self) -> Headers:
        """The stamp as Kafka headers."""
        return (
            ("wm", b"%d" % self.watermark_us),
            ("writer", self.writer.encode()),
            ("writers", b"%d" % self.writers),
            ("seq", b"%d" % self.sequence),
            ("total", b"%d" % self.total),
        )

    @classmethod
    def read(cls, headers: Sequence[tuple[str, bytes]]) -> Stamp:
        """The stamp that a message carries.

        Raises:
            ValueError: it carries none, or one that makes no sense.
        """
        found = dict(headers)
        try:
            stamp = cls(
                watermark_us=int(found["wm"]),
                writer=found["writer"].decode(),
                writers=int(found["writers"]),
                sequence=int(found["seq"]),
                total=int(found["total"]),
            )
        except (KeyError, ValueError) as error:
            msg = f"no stamp: header {error} is missing or malformed; writers of joined topics must stamp"
            raise ValueError(msg) from error
        if stamp.watermark_us < 0 or stamp.writers < 1:
            msg = f"watermark {stamp.watermark_us} or writers {stamp.writers} out of range"
            raise ValueError(msg)
        return stamp
