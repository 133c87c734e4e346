"""A producer to the in-memory broker."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Self

from microservo.adapters.broker import Headers, Message
from microservo.adapters.limits import delivery_listener_failed
from microservo.adapters.memory.store import Store
from microservo.adapters.partitioner import partition_of
from microservo.errors import Fatal


class MemoryProducer:
    """`Producer` in memory: a message is durable, and `on_delivery` called, before `send` returns.

    Messages without a key go to the partitions in turn.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = count()
        self._closed = False
        self._failure: Fatal | None = None

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_us: int | None = None,
        on_delivery: Callable[[Message], None] | None = None,
    ) -> None:
        self._check()
        limits = self._store.topic(topic).limits
        limits.refuse_misfit(topic, key, value, headers, partition)
        time_us = self._store.clock() if timestamp_us is None else timestamp_us
        message = Message(
            topic=topic,
            partition=self._choose(key, limits.partitions) if partition is None else partition,
            offset=-1,
            # Kafka keeps milliseconds.
            timestamp_us=time_us // 1000 * 1000,
            key=key,
            value=value,
            headers=tuple(headers),
        )
        stored = self._store.append(message)
        if on_delivery is not None:
            self._notify(on_delivery, stored)

    def flush(self, timeout_s: float) -> None:
        self._check()

    def partition_for(self, topic: str, key: bytes) -> int:
        return partition_of(key, self._store.topic(topic).spec.partitions)

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _notify(self, listener: Callable[[Message], None], message: Message) -> None:
        try:
            listener(message)
        except Exception as exc:
            self._failure = delivery_listener_failed(message, exc)

    def _choose(self, key: bytes | None, partitions: int) -> int:
        return next(self._turn) % partitions if key is None else partition_of(key, partitions)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            msg = "the producer is closed; make another one"
            raise Fatal(msg)
