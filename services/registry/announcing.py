"""Writing to the log what a registry has to say; while the broker is away it waits, and nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable

from microservo.adapters.broker import Broker, Producer
from microservo.errors import Fatal, Retryable, Unavailable
from microservo.log.publisher import Publisher
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas.catalogue import REGISTRATIONS, REQUEST_LOCATIONS
from schemas.records import Registration
from services.registry.registry import Outgoing, Registry

logger = logging.getLogger(__name__)

_FLUSH_S = 0.5
_LINGER_MS = 2


class Announcements:
    """Publishes one batch after the other; belongs to one thread.

    A producer gives up after a while and is good for nothing then. Here it is replaced by another one, which
    is given the same batch again.

    Args:
        broker: whose producers give up soon.
        registry: what is to be said.
        topic_prefix: put before every topic name.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, broker: Broker, registry: Registry, *, topic_prefix: str, clock: Callable[[], int]
    ) -> None:
        self._broker = broker
        self._registry = registry
        self._topic_prefix = topic_prefix
        self._clock = clock
        self._producer: Producer | None = None
        self._publisher: Publisher | None = None
        self._batch = Outgoing(changes={}, locations=())
        self._is_sent = True

    def advance(self) -> None:
        """Publishes what is new, once what was before is durable.

        Raises:
            Retryable: the broker does not take it for now; call again.
        """
        self._finish()
        self._batch, self._is_sent = self._registry.outgoing(), False
        self._finish()

    def say_goodbye(self, key: str) -> None:
        """Says that this registry ends; raises as `advance`."""
        self._finish()
        self._batch, self._is_sent = Outgoing(changes={key: None}, locations=()), False
        self._finish()

    def close(self) -> None:
        """Leaves the broker; what it did not take is lost."""
        if self._producer is not None:
            self._producer.close()
        self._producer = self._publisher = None

    def _finish(self) -> None:
        try:
            publisher = self._connected()
            if not self._is_sent:
                self._send(publisher)
            publisher.flush(_FLUSH_S)
        except (Fatal, Unavailable) as error:
            self.close()
            self._is_sent = False
            msg = f"the broker does not take what is registered ({error}); it is sent again"
            raise Retryable(msg) from error
        self._count()
        self._batch = Outgoing(changes={}, locations=())

    def _connected(self) -> Publisher:
        if self._publisher is None:
            self._producer = self._broker.producer(linger_ms=_LINGER_MS)
            self._publisher = Publisher(
                self._producer, "registry", prefix=self._topic_prefix, clock=self._clock
            )
        return self._publisher

    def _send(self, publisher: Publisher) -> None:
        for key, record in self._batch.changes.items():
            if record is None:
                publisher.delete(Registration, key)
            else:
                publisher.publish(record)
        for locations in self._batch.locations:
            publisher.publish(locations)
        self._is_sent = True

    def _count(self) -> None:
        if self._batch.changes:
            RECORDS_TOTAL.labels("registry", REGISTRATIONS, "out").inc(len(self._batch.changes))
        if self._batch.locations:
            rows = sum(len(each.counts) for each in self._batch.locations)
            RECORDS_TOTAL.labels("registry", REQUEST_LOCATIONS, "out").inc(rows)
