"""Writing to the log what a registry has to say; while the broker is away it waits, and nothing is lost."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from microservo.adapters.broker import Broker, Producer
from microservo.errors import Fatal, Retryable, Unavailable
from microservo.log.publisher import Publisher
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas.catalogue import REGISTRATIONS, REQUEST_LOCATIONS
from schemas.records import Registration, RequestLocations
from services.registry.registry import Outgoing, Registry

logger = logging.getLogger(__name__)

_FLUSH_S = 0.5
_LINGER_MS = 2

_Item = tuple[str, Registration | None] | RequestLocations


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
        self._batch = Outgoing(changes={})
        self._waiting: deque[_Item] = deque()

    def advance(self) -> None:
        """Publishes what is new, once what was before is durable.

        Raises:
            Retryable: the broker does not take it for now; call again.
        """
        self._finish()
        self._begin(self._registry.outgoing())
        self._finish()

    def say_goodbye(self, key: str) -> None:
        """Says that this registry ends; raises as `advance`."""
        self._finish()
        self._begin(Outgoing(changes={key: None}))
        self._finish()

    def close(self) -> None:
        """Leaves the broker; what it did not take is lost."""
        if self._producer is not None:
            self._producer.close()
        self._producer = self._publisher = None

    def _begin(self, batch: Outgoing) -> None:
        self._batch = batch
        self._waiting = deque([*batch.changes.items(), *batch.locations])

    def _finish(self) -> None:
        try:
            publisher = self._connected()
            self._send(publisher)
            publisher.flush(_FLUSH_S)
        except (Fatal, Unavailable) as error:
            self.close()
            self._begin(self._batch)
            msg = f"the broker does not take what is registered ({error}); it is sent again"
            raise Retryable(msg) from error
        self._count()
        self._begin(Outgoing(changes={}))

    def _connected(self) -> Publisher:
        if self._publisher is None:
            self._producer = self._broker.producer(linger_ms=_LINGER_MS)
            self._publisher = Publisher(
                self._producer, "registry", prefix=self._topic_prefix, clock=self._clock
            )
        return self._publisher

    def _send(self, publisher: Publisher) -> None:
        """What was taken by a full queue before stays taken."""
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, RequestLocations):
                publisher.publish(item)
            elif item[1] is None:
                publisher.delete(Registration, item[0])
            else:
                publisher.publish(item[1])
            self._waiting.popleft()

    def _count(self) -> None:
        if self._batch.changes:
            RECORDS_TOTAL.labels("registry", REGISTRATIONS, "out").inc(len(self._batch.changes))
        if self._batch.locations:
            rows = sum(len(each.counts) for each in self._batch.locations)
            RECORDS_TOTAL.labels("registry", REQUEST_LOCATIONS, "out").inc(rows)
        if self._batch.lost:
            logger.warning("%d places of requests were given up, since too many waited", self._batch.lost)
            RECORDS_TOTAL.labels("registry", REQUEST_LOCATIONS, "dropped").inc(self._batch.lost)
