"""Telling what happened: fault events for people and restarts, service faults for the join."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from microservo.adapters.broker import Headers, Producer
from microservo.log.stamped import StampedWriter
from microservo.runtime.metrics import FAULT_EVENTS_TOTAL, RECORDS_TOTAL, STAGE_LATENCY_SECONDS
from schemas.catalogue import FAULT_EVENTS, SERVICE_FAULTS
from schemas.codec import encode
from schemas.envelope import cloud_event
from schemas.records import FaultEvent, ServiceFault

FLUSH_TIMEOUT_S = 5.0
_SOURCE = "microservo/fault-injector"


class Journal:
    """Keeps what is to be told until it is durable; belongs to one thread.

    Service faults go first: a fault that the events call over must be over on the joined topic too, for after
    a crash in between only the events are looked at.

    Args:
        producer: for fault events.
        writer: for service faults.
        events_topic: physical name of fault-events.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, *, producer: Producer, writer: StampedWriter, events_topic: str, clock: Callable[[], int]
    ) -> None:
        self._producer = producer
        self._writer = writer
        self._events_topic = events_topic
        self._clock = clock
        self._faults: deque[ServiceFault] = deque()
        self._events: deque[FaultEvent] = deque()
        self._latest_confirmation_us: int | None = None
        self._is_settled = True

    def tell(
        self,
        events: Iterable[FaultEvent],
        faults: Iterable[ServiceFault] = (),
        *,
        confirmed_at_us: int | None = None,
    ) -> None:
        """Adds records; `confirmed_at_us` is the confirmation they report, for the measure of latency."""
        self._is_settled = False
        self._events.extend(events)
        self._faults.extend(faults)
        if confirmed_at_us is not None:
            self._latest_confirmation_us = confirmed_at_us

    def pump(self) -> None:
        """Returns once all that was told is durable.

        Raises:
            Retryable: the broker is busy; calling again goes on where this stopped.
        """
        if self._is_settled:
            return
        self._pump_faults()
        while self._events:
            event = self._events[0]
            self._producer.send(
                self._events_topic, key=event.fault_id.encode(), value=encode(event), headers=_headers(event)
            )
            self._events.popleft()
            FAULT_EVENTS_TOTAL.labels(event.state).inc()
            RECORDS_TOTAL.labels("fault-injector", FAULT_EVENTS, "out").inc()
        self._producer.flush(FLUSH_TIMEOUT_S)
        self._is_settled = True

    def _pump_faults(self) -> None:
        while self._faults:
            fault = self._faults[0]
            self._writer.send(fault.service.encode(), encode(fault), 1)
            self._faults.popleft()
            RECORDS_TOTAL.labels("fault-injector", SERVICE_FAULTS, "out").inc()
        self._writer.flush(FLUSH_TIMEOUT_S)
        if self._latest_confirmation_us is not None:
            late_us = self._clock() - self._latest_confirmation_us
            STAGE_LATENCY_SECONDS.labels("label").observe(max(0, late_us) / 1e6)
            self._latest_confirmation_us = None


def _headers(event: FaultEvent) -> Headers:
    event_id = f"{event.fault_id}/{event.version}"
    headers = cloud_event(
        event_type="microservo.fault_event", source=_SOURCE, event_id=event_id, time_us=event.at_us
    )
    return (*headers, ("run", event.run_id.encode()))
