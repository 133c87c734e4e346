"""Dead letters: what can't be read, kept with its bytes and the reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from microservo.adapters.broker import Headers, Message, Producer
from microservo.errors import InvalidInput
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.metrics import DEAD_LETTERS_TOTAL
from schemas.catalogue import DEAD_LETTER_SUFFIX, MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

_FRAMING_BYTES = 4096
"""Room left for Kafka's own framing of a message and its headers."""
_REASON_BYTES = 1024


class DeadLetters:
    """Writes to the dead-letter topics, through a producer that the caller flushes before committing.

    All are counted in the metrics, by reason. The log has one line a minute for each topic and reason, which
    says how many there were since the line before: a sender that sends nothing but rubbish can't flood it.

    Args:
        prefix: what stands before the logical names of topics on this broker.
        clock_s: seconds that never fall, for the lines in the log.
    """

    def __init__(
        self, producer: Producer, prefix: str = "", *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._producer = producer
        self._prefix = prefix
        self._limit = LogLimit(clock_s=clock_s)

    def reject(self, message: Message, reason: str) -> None:
        """Puts a message aside: key, value and headers as they were, coordinates and reason in added headers.

        Raises:
            Retryable: the producer's queue is full.
        """
        added: Headers = (
            ("dlq_topic", message.topic.encode()),
            ("dlq_partition", b"%d" % message.partition),
            ("dlq_offset", b"%d" % message.offset),
            ("dlq_reason", _cut(reason)),
        )
        topic = message.topic.removeprefix(self._prefix)
        self._put(topic, message.key, message.value, message.headers, added)
        self._note(topic, reason, partition=message.partition, offset=message.offset)

    def reject_bytes(
        self, topic: str, raw: bytes, reason: str, content_type: str = "application/octet-stream"
    ) -> None:
        """Puts aside what never became a message; `topic` is the logical name it was meant for.

        Raises:
            Retryable: the producer's queue is full.
        """
        added: Headers = (
            ("dlq_topic", (self._prefix + topic).encode()),
            ("dlq_reason", _cut(reason)),
            ("content-type", content_type.encode()),
        )
        self._put(topic, None, raw, (), added)
        self._note(topic, reason)

    def _note(self, topic: str, reason: str, **place: int) -> None:
        kind = self._limit.kind(topic, reason)
        DEAD_LETTERS_TOTAL.labels(topic, kind).inc()
        end = self._limit.end_of_line(topic, kind)
        if end is not None:
            logger.warning("dead letter: %s%s", reason, end, extra={"topic": self._prefix + topic, **place})

    def _put(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, added: Headers
    ) -> None:
        target = self._prefix + topic + DEAD_LETTER_SUFFIX
        room = MAX_MESSAGE_BYTES - _FRAMING_BYTES - len(key or b"") - _size(headers) - _size(added)
        kept, cut_bytes = _fit(value, room)
        added = (*added, ("dlq_truncated_bytes", b"%d" % cut_bytes)) if cut_bytes else added
        try:
            self._producer.send(target, key=key, value=kept, headers=headers + added)
        except InvalidInput:
            # Key or headers alone fill a message: its coordinates still lead to the bytes in the log.
            gone_bytes = len(key or b"") + len(value or b"") + _size(headers)
            alone = (*added[:4], ("dlq_truncated_bytes", b"%d" % gone_bytes))
            self._producer.send(target, key=None, value=None, headers=alone)


def _fit(value: bytes | None, room_bytes: int) -> tuple[bytes | None, int]:
    """The value cut to the room there is, and how many bytes that took away."""
    if value is None or len(value) <= room_bytes:
        return value, 0
    kept = value[: max(room_bytes, 0)]
    return kept, len(value) - len(kept)


def _size(headers: Headers) -> int:
    # Kafka frames each header with two varints of at most five bytes.
    return sum(len(name) + len(value) + 10 for name, value in headers)


def _cut(reason: str) -> bytes:
    return reason.encode("utf-8", "replace")[:_REASON_BYTES]
