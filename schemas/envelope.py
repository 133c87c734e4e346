"""Headers: CloudEvents 1.0 in Kafka's binary mode, and the writer's stamp on topics that are joined."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

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


FOREVER_US = 1 << 62
"""Watermark of a writer's last message in a run: nothing follows, ever."""


class Stamp(NamedTuple):
    """What the writer of a partition promises with a message; one is made for each that is read.

    Attributes:
        run: run that the promise is given for; the message's record is of that run.
        watermark_us: nothing of the run older than this follows from the writer, except what is late by the
            windows' rule. Never falls within a run; FOREVER_US where the writer leaves it.
        writer: stable name of the writer, kept over restarts.
        sequence: counts the writer's messages on this partition from 0, without gaps.
        total: records the writer has put on this partition so far, this message included.
    """

    run: str
    watermark_us: int
    writer: str
    sequence: int
    total: int

    def headers(self) -> Headers:
        """The stamp as Kafka headers."""
        return (
            ("run", self.run.encode()),
            ("wm", b"%d" % self.watermark_us),
            ("writer", self.writer.encode()),
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
                run=found["run"].decode(),
                watermark_us=int(found["wm"]),
                writer=found["writer"].decode(),
                sequence=int(found["seq"]),
                total=int(found["total"]),
            )
        except (KeyError, ValueError) as error:
            msg = f"no stamp: header {error} is missing or malformed; writers of joined topics must stamp"
            raise ValueError(msg) from error
        if not 0 <= stamp.watermark_us <= FOREVER_US:
            msg = f"watermark {stamp.watermark_us} out of range; expected 0 to {FOREVER_US}"
            raise ValueError(msg)
        return stamp
