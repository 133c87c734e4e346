from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from registry_server import new_registry

from microservo.adapters.memory import MemoryBroker
from microservo.adapters.memory.producer import MemoryProducer
from microservo.domain.registry.documents import RegistrationDocument
from microservo.errors import Fatal, Retryable, Unavailable
from microservo.log.reader import read_state
from microservo.log.topics import topic_specs
from microservo.testing import ManualClock
from schemas.catalogue import REGISTRATIONS
from schemas.records import Registration
from services.registry.announcing import Announcements


class FailingBroker(MemoryBroker):
    """A broker whose producers fail as they are told, one word for each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []
        self.producers = 0

    def producer(self, *, linger_ms: int = 5) -> MemoryProducer:
        self.producers += 1
        found = super().producer(linger_ms=linger_ms)
        flush: Callable[[float], None] = found.flush

        def failing(timeout_s: float) -> None:
            if self.failures:
                raise self.failures.pop(0)
            flush(timeout_s)

        changed: Any = found
        changed.flush = failing
        return found


def test_what_a_broker_did_not_take_is_sent_again_by_a_new_producer_and_newer_things_behind_it() -> None:
    broker, clock = FailingBroker(), ManualClock(1_000_000)
    broker.admin().ensure_topics(topic_specs(partitions=2))
    registry = new_registry(clock)
    announcements = Announcements(broker, registry, topic_prefix="", clock=clock)
    registry.register(RegistrationDocument(service="cart", instance="cart-1", endpoint="a:1"))
    broker.failures = [Retryable("not yet"), Fatal("given up"), Unavailable("nobody answers")]
    for _ in range(3):
        with pytest.raises(Retryable):
            announcements.advance()
        registry.register(RegistrationDocument(service="cart", instance="cart-2", endpoint="a:1"))
    registry.remove("cart", "cart-1")
    announcements.advance()
    assert set(read_state(broker, REGISTRATIONS, Registration)) == {"registry/europe", "cart/cart-2"}
    assert broker.producers == 3
    announcements.say_goodbye("registry/europe")
    assert set(read_state(broker, REGISTRATIONS, Registration)) == {"cart/cart-2"}
    announcements.close()
