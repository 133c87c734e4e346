"""The in-memory broker, as the place to get clients from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from microservo.adapters.memory.admin import MemoryAdmin
from microservo.adapters.memory.consumer import MemoryConsumer
from microservo.adapters.memory.producer import MemoryProducer
from microservo.adapters.memory.store import Store


def _now_us() -> int:
    return time.time_ns() // 1000


class MemoryBroker:
    """`Broker` in memory; its clients may live in different threads.

    Args:
        clock: gives the time of messages that are sent without one, in epoch microseconds UTC.
    """

    def __init__(self, clock: Callable[[], int] = _now_us) -> None:
        self._store = Store(clock)

    def consumer(
        self, *, group_id: str | None, start: Literal["earliest", "latest"] = "earliest"
    ) -> MemoryConsumer:
        return MemoryConsumer(self._store, group_id=group_id, start=start)

    def producer(self, *, linger_ms: int = 5) -> MemoryProducer:
        """A producer; `linger_ms` has no effect here."""
        return MemoryProducer(self._store)

    def admin(self) -> MemoryAdmin:
        return MemoryAdmin(self._store)
