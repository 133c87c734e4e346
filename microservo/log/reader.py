"""Reading what lies on a topic now: from its beginning, since an instant, its newest messages, its state.

To go on with what arrives later, follow it with `microservo.log.subscription`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal, TypeVar

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.log.ranges import Ranges, read_ranges
from schemas.codec import SchemaError, decode_as

logger = logging.getLogger(__name__)

Start = Literal["earliest", "latest"] | int
"""Where to begin; a number is an instant in epoch microseconds, from which on all that was written counts."""

R = TypeVar("R")


def positions(consumer: Consumer, topic: str, start: Start = "earliest") -> dict[Partition, int]:
    """The offset to begin at on each partition of a topic.

    Raises:
        InvalidInput: there is no such topic.
        Retryable: the broker is away for now.
    """
    return {partition: _position(consumer, partition, start) for partition in consumer.partitions(topic)}


def ranges_from(consumer: Consumer, topic: str, start: Start = "earliest") -> Ranges:
    """The offsets from `start` to where the topic ends now; raises as `positions`."""
    begins = positions(consumer, topic, start)
    ends = {partition: consumer.offset_range(partition)[1] for partition in begins}
    return {partition: (begin, ends[partition]) for partition, begin in begins.items()}


def read_topic(broker: Broker, topic: str, *, start: Start = "earliest") -> Iterator[Message]:
    """The messages from `start` to where the topic ends when the first is asked for.

    Partitions come interleaved, each in offset order. Messages that compaction or retention removed are
    passed over.

    Args:
        broker: where the topic lies.
        topic: physical name.
        start: where to begin.

    Raises:
        InvalidInput: there is no such topic.
        Retryable: the broker stopped giving messages.
    """
    with broker.consumer(group_id=None) as consumer:
        yield from read_ranges(consumer, ranges_from(consumer, topic, start), compacted=True)


def tail(broker: Broker, topic: str, count: int) -> list[Message]:
    """The newest `count` messages of each partition, or fewer, each partition in offset order.

    Costs no more on a long topic than on a short one; raises as `read_topic`.
    """
    with broker.consumer(group_id=None) as consumer:
        whole = ranges_from(consumer, topic)
        ranges = {partition: (max(first, end - count), end) for partition, (first, end) in whole.items()}
        return list(read_ranges(consumer, ranges, compacted=True))


def read_state(broker: Broker, topic: str, record_type: type[R]) -> dict[str, R]:
    """As `state_of`, with a consumer of its own."""
    with broker.consumer(group_id=None) as consumer:
        return state_of(consumer, topic, record_type)


def state_of(consumer: Consumer, topic: str, record_type: type[R]) -> dict[str, R]:
    """The newest record of each key of a compacted topic, without those whose last word is a tombstone.

    A record that can't be read leaves the one before it in place; how many there were is logged.

    Args:
        consumer: without a group; assigned here.
        topic: physical name.
        record_type: one of `schemas.records`; what else lies on the topic counts as unreadable.

    Raises:
        InvalidInput: there is no such topic.
        Retryable: the broker stopped giving messages.
    """
    values: dict[str, list[Message]] = {}
    for message in read_ranges(consumer, ranges_from(consumer, topic), compacted=True):
        key = (message.key or b"").decode(errors="replace")
        if message.value is None:
            values.pop(key, None)
        else:
            values.setdefault(key, []).append(message)
    state: dict[str, R] = {}
    unreadable: list[Message] = []
    for key, messages in values.items():
        # Between two compactions most of what is read is superseded, and need not be decoded.
        for message in reversed(messages):
            try:
                state[key] = decode_as(record_type, message.value or b"")
                break
            except SchemaError:
                unreadable.append(message)
    if unreadable:
        last = unreadable[-1]
        logger.warning(
            "passed over %d unreadable messages of %s, the last at partition %d, offset %d",
            *(len(unreadable), topic, last.partition, last.offset),
        )
    return state


def _position(consumer: Consumer, partition: Partition, start: Start) -> int:
    if isinstance(start, int):
        return consumer.offset_at(partition, start)
    first, end = consumer.offset_range(partition)
    return first if start == "earliest" else end
