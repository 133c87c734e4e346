"""Follows topics of others from where it was left; the cursor is the next offset of each partition."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.kafka.settings import KafkaSettings as Connection
from microservo.domain.telemetry import SIGNALS
from microservo.errors import InvalidInput
from microservo.sources.kafka.decoding import decode_messages
from microservo.sources.kafka.settings import KafkaSettings
from microservo.sources.tailed import Cursors, Page, Place, TailedSource

_MESSAGES = 500
_WAIT_S = 0.2
_INTERVAL_S = 0.05
_LOOK_US = 5_000_000
"""From one look for topics that are not there yet to the next."""
_DELAY_US = 1_000_000
"""What a message waits here; how late its records are is their producers' business, and learned."""


class KafkaTail:
    """The messages of some topics, which need not be there yet.

    Args:
        settings: which topics.
        broker: where they are.
        clock: epoch microseconds UTC.
    """

    def __init__(self, settings: KafkaSettings, broker: Broker, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._broker = broker
        self._clock = clock
        self._consumer: Consumer | None = None
        self._next: dict[Partition, int] = {}
        self._missing: list[str] = []
        self._place = Place("")
        self._look_us = 0

    def pages(self, cursor: str) -> Generator[Page, None, None]:
        consumer = self._assigned(cursor)
        messages = consumer.consume(_MESSAGES, _WAIT_S)
        now_us = self._clock()
        for message in messages:
            self._next[Partition(message.topic, message.partition)] = message.offset + 1
        before, self._place = self._place, Place(_cursor(self._next), _until_us(messages, now_us))
        decoded = decode_messages(messages, self._settings.formats, now_us)
        signals = [each for each in SIGNALS if each in decoded.rows]
        for signal in signals:
            # Until the last one is durable, all of these messages are read again after a restart.
            place = self._place if signal == signals[-1] else before
            rows, refused = decoded.rows[signal], decoded.refused[signal]
            yield Page(signal=signal, rows=tuple(rows), refused=tuple(refused), place=place)
        if not signals:
            yield Page(signal="logs", rows=(), place=self._place)

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def _assigned(self, cursor: str) -> Consumer:
        """The consumer, at the partitions of all topics that are there by now."""
        consumer = self._consumer
        is_new = consumer is None
        if consumer is None:
            consumer = self._consumer = self._broker.consumer(group_id=None)
            self._missing = list(self._settings.topics)
            self._next, self._place = _positions(cursor), Place(cursor)
        elif self._clock() < self._look_us:
            return consumer
        self._look_us = self._clock() + _LOOK_US
        found = [topic for topic in self._missing if self._find(consumer, topic, from_end=is_new)]
        if found:
            self._missing = [topic for topic in self._missing if topic not in found]
            consumer.assign(self._next)
        return consumer

    def _find(self, consumer: Consumer, topic: str, *, from_end: bool) -> bool:
        """Takes up a topic if it is there: one that was there before us from its end, others whole."""
        try:
            partitions = consumer.partitions(topic)
        except InvalidInput:
            return False
        for partition in partitions:
            first, end = consumer.offset_range(partition)
            # What was deleted meanwhile can't be read.
            self._next[partition] = max(first, self._next.get(partition, end if from_end else first))
        return True


def _positions(cursor: str) -> dict[Partition, int]:
    found: Mapping[str, Mapping[str, int]] = json.loads(cursor) if cursor else {}
    return {
        Partition(topic, int(index)): offset
        for topic, offsets in found.items()
        for index, offset in offsets.items()
    }


def _cursor(positions: Mapping[Partition, int]) -> str:
    found: dict[str, dict[str, int]] = {}
    for (topic, index), offset in sorted(positions.items()):
        found.setdefault(topic, {})[str(index)] = offset
    return json.dumps(found)


def _until_us(messages: list[Message], now_us: int) -> int:
    """Until when all was read: all there is, where there was less than could be."""
    return now_us if len(messages) < _MESSAGES else max(message.timestamp_us for message in messages)


def kafka_source(settings: KafkaSettings, clock: Callable[[], int], cursors: Cursors) -> TailedSource:
    """Follows topics of others; their Kafka is reached as ours, but for its address."""
    broker = KafkaBroker(Connection(bootstrap_servers=settings.bootstrap_servers))
    return TailedSource(
        settings.name,
        KafkaTail(settings, broker, clock),
        cursors,
        interval_s=_INTERVAL_S,
        delay_us=_DELAY_US,
    )
