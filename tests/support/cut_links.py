"""Links to a broker that can be cut, each for itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

from microservo.adapters.broker import Admin, Broker, Consumer, Message, Partition, Producer
from microservo.errors import Retryable, Unavailable


class Link:
    """A broker seen from a process that may be cut off from it.

    Attributes:
        is_cut: set while nothing goes through; clients seem to work, as those of Kafka do then.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.is_cut = threading.Event()

    def consumer(
        self, *, group_id: str | None, start: Literal["earliest", "latest"] = "earliest"
    ) -> Consumer:
        return _Consumer(self._broker.consumer(group_id=group_id, start=start), self.is_cut)

    def producer(self, *, linger_ms: int = 5) -> Producer:
        return _Producer(self._broker.producer(linger_ms=linger_ms), self.is_cut)

    def admin(self) -> Admin:
        return self._broker.admin()


class _Consumer:
    def __init__(self, consumer: Consumer, is_cut: threading.Event) -> None:
        self._consumer = consumer
        self._is_cut = is_cut

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: Callable[[list[Partition]], None] | None = None,
        on_revoke: Callable[[list[Partition]], None] | None = None,
    ) -> None:
        self._consumer.subscribe(topics, on_assign=on_assign, on_revoke=on_revoke)

    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._consumer.assign(positions)

    def consume(self, max_messages: int, timeout_s: float) -> list[Message]:
        if self._is_cut.is_set():
            time.sleep(timeout_s)
            return []
        return self._consumer.consume(max_messages, timeout_s)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        self._consumer.commit(positions)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume(partitions)

    def partitions(self, topic: str) -> list[Partition]:
        return self._consumer.partitions(topic)

    def offset_range(self, partition: Partition) -> tuple[int, int]:
        return self._consumer.offset_range(partition)

    def offset_at(self, partition: Partition, time_us: int) -> int:
        return self._consumer.offset_at(partition, time_us)

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Producer:
    def __init__(self, producer: Producer, is_cut: threading.Event) -> None:
        self._producer = producer
        self._is_cut = is_cut

    def send(self, topic: str, **rest: Any) -> None:
        if self._is_cut.is_set():
            msg = "the broker is away"
            raise Retryable(msg)
        self._producer.send(topic, **rest)

    def flush(self, timeout_s: float) -> None:
        self._producer.flush(timeout_s)

    def partition_for(self, topic: str, key: bytes) -> int:
        return self._producer.partition_for(topic, key)

    def close(self) -> None:
        self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class DeafLink(Link):
    """A broker seen from a process that hears nothing of others while `is_cut` is set, but is heard."""

    def consumer(
        self, *, group_id: str | None, start: Literal["earliest", "latest"] = "earliest"
    ) -> Consumer:
        if self.is_cut.is_set():
            msg = "the broker is away"
            # As a new client of Kafka says.
            raise Unavailable(msg)
        return super().consumer(group_id=group_id, start=start)

    def producer(self, *, linger_ms: int = 5) -> Producer:
        return self._broker.producer(linger_ms=linger_ms)
