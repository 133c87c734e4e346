"""Sending and reading on any broker, for the checks."""

from __future__ import annotations

from collections.abc import Sequence

from microservo.adapters.broker import Broker, Consumer, Message, TopicSpec
from microservo.errors import Fatal
from microservo.testing import eventually

FLUSH_S = 60
YEAR_2026_US = 1_767_225_600_000_000


def create(broker: Broker, name: str, *, partitions: int, config: dict[str, str] | None = None) -> str:
    broker.admin().ensure_topics([TopicSpec(name=name, partitions=partitions, config=config or {})])
    return name


def orders(broker: Broker, prefix: str) -> str:
    return create(broker, f"{prefix}orders", partitions=3)


def send_values(broker: Broker, topic: str, values: Sequence[bytes], *, partition: int = 0) -> None:
    with broker.producer() as producer:
        for value in values:
            producer.send(topic, key=None, value=value, partition=partition)
        producer.flush(FLUSH_S)


def read(consumer: Consumer, count: int) -> list[Message]:
    """Exactly `count` messages: consumes until they are there, and once more for too many."""
    got: list[Message] = []

    def enough() -> bool:
        got.extend(consumer.consume(100, 0.1))
        return len(got) >= count

    eventually(enough, timeout_s=60, what=f"{count} messages")
    got.extend(consumer.consume(100, 0.1))
    assert len(got) == count
    return got


def read_all(broker: Broker, topic: str) -> list[Message]:
    with broker.consumer(group_id=None) as consumer:
        ranges = {partition: consumer.offset_range(partition) for partition in consumer.partitions(topic)}
        consumer.assign({partition: begin for partition, (begin, _) in ranges.items()})
        return read(consumer, sum(end - begin for begin, end in ranges.values()))


def values_of(messages: Sequence[Message]) -> list[bytes | None]:
    return [message.value for message in messages]


def numbered(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def consume_until_fatal(consumer: Consumer) -> None:
    def fatal() -> bool:
        try:
            consumer.consume(10, 0.1)
        except Fatal:
            return True
        return False

    eventually(fatal, timeout_s=60, what="Fatal from consume")
