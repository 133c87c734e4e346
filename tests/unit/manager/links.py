"""Links to a broker in memory that can be cut, each for itself."""

from __future__ import annotations

import threading
from typing import Any, Literal

from microservo.adapters.broker import Message
from microservo.adapters.memory.consumer import MemoryConsumer
from microservo.adapters.memory.producer import MemoryProducer
from microservo.errors import Retryable
from microservo.testing import MemoryBroker


class _Consumer(MemoryConsumer):
    is_cut: threading.Event

    def _next_messages(self, wanted: int) -> list[Message]:
        return [] if self.is_cut.is_set() else super()._next_messages(wanted)


class _Producer(MemoryProducer):
    is_cut: threading.Event

    def send(self, topic: str, **rest: Any) -> None:
        if self.is_cut.is_set():
            msg = "the broker is away"
            raise Retryable(msg)
        super().send(topic, **rest)


class Link(MemoryBroker):
    """A link to another broker's topics.

    Attributes:
        is_cut: set while nothing goes through.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._store = broker._store  # the same broker, seen from elsewhere
        self.is_cut = threading.Event()

    def consumer(
        self, *, group_id: str | None, start: Literal["earliest", "latest"] = "earliest"
    ) -> MemoryConsumer:
        found = _Consumer(self._store, group_id=group_id, start=start)
        found.is_cut = self.is_cut
        return found

    def producer(self, *, linger_ms: int = 5) -> MemoryProducer:
        found = _Producer(self._store)
        found.is_cut = self.is_cut
        return found
