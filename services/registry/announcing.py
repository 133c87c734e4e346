"""Writing to the log what a registry has to say; while the broker is away it waits, and nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable

from microservo.adapters.broker import Broker
from microservo.log.resending import Deletion, ResendingPublisher
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas.catalogue import REGISTRATIONS, REQUEST_LOCATIONS
from schemas.records import Registration
from services.registry.registry import Outgoing, Registry

logger = logging.getLogger(__name__)


class Announcements:
    """Publishes one batch after the other; belongs to one thread.

    Args:
        broker: whose producers give up soon.
        registry: what is to be said.
        topic_prefix: put before every topic name.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, broker: Broker, registry: Registry, *, topic_prefix: str, clock: Callable[[], int]
    ) -> None:
        self._registry = registry
        self._publisher = ResendingPublisher(
            broker, process="registry", topic_prefix=topic_prefix, clock=clock
        )
        self._batch = Outgoing(changes={})

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
        self._publisher.close()

    def _begin(self, batch: Outgoing) -> None:
        self._batch = batch
        changes = (
            Deletion(record_type=Registration, key=key) if record is None else record
            for key, record in batch.changes.items()
        )
        self._publisher.begin([*changes, *batch.locations])

    def _finish(self) -> None:
        self._publisher.finish()
        self._count()
        self._batch = Outgoing(changes={})

    def _count(self) -> None:
        if self._batch.changes:
            RECORDS_TOTAL.labels("registry", REGISTRATIONS, "out").inc(len(self._batch.changes))
        if self._batch.locations:
            rows = sum(len(each.counts) for each in self._batch.locations)
            RECORDS_TOTAL.labels("registry", REQUEST_LOCATIONS, "out").inc(rows)
        if self._batch.lost:
            logger.warning("%d places of requests were given up, since too many waited", self._batch.lost)
            RECORDS_TOTAL.labels("registry", REQUEST_LOCATIONS, "dropped").inc(self._batch.lost)
