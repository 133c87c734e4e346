"""What every broker accepts and refuses, in the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from microservo.adapters.broker import Headers, Message, TopicSpec
from microservo.errors import Fatal, InvalidInput

DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's own default of `max.message.bytes`: 1 MiB and the 12 bytes of the oldest batch header."""

# A batch of one message: 61 bytes of batch header, at most 35 of the record's own lengths and deltas.
_BATCH_OVERHEAD_BYTES = 96
_HEADER_OVERHEAD_BYTES = 10


def message_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """The most that a message takes in the log before compression, in bytes."""
    in_headers = sum(len(name) + len(content) + _HEADER_OVERHEAD_BYTES for name, content in headers)
    return _BATCH_OVERHEAD_BYTES + len(key or b"") + len(value or b"") + in_headers


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicLimits:
    """What a message to a topic must fit."""

    partitions: int
    max_message_bytes: int

    def refuse_misfit(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int | None
    ) -> None:
        """Refuses a message that the topic would not take.

        Raises:
            InvalidInput: it is too large, or for a partition that is not there.
        """
        size = message_bytes(key, value, headers)
        if size > self.max_message_bytes:
            msg = (
                f"a message of {size} bytes is larger than the {self.max_message_bytes} that {topic} accepts;"
                " split it, or raise the topic's max.message.bytes"
            )
            raise InvalidInput(msg)
        if partition is not None and not 0 <= partition < self.partitions:
            msg = f"{topic} has no partition {partition}; give one from 0 to {self.partitions - 1}"
            raise InvalidInput(msg)


def delivery_listener_failed(message: Message, cause: Exception) -> Fatal:
    """What the sender's next `send` or `flush` raises when an `on_delivery` raised, elsewhere."""
    failure = Fatal(
        f"on_delivery of {message.topic}[{message.partition}] raised {cause!r}; mend the listener"
    )
    failure.__cause__ = cause
    return failure


def refuse_other_partitions(specs: Sequence[TopicSpec], present: Mapping[str, int]) -> None:
    """Refuses topics that are there with another number of partitions.

    Args:
        specs: the topics as they should be.
        present: the partitions of each topic that exists.

    Raises:
        InvalidInput: the number of partitions of a topic differs.
    """
    for spec in specs:
        found = present.get(spec.name, spec.partitions)
        if found != spec.partitions:
            msg = (
                f"the topic {spec.name} has {found} partitions, expected {spec.partitions}; "
                "use another topic prefix, or delete the topic first"
            )
            raise InvalidInput(msg)
