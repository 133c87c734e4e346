"""Publishing what happened: service faults for the join, events for all, states for the next start."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from microservo.adapters.broker import Message
from microservo.domain.faults.decider.actions import Publish
from microservo.log.publisher import Publisher
from microservo.runtime.metrics import FAULT_EVENTS_TOTAL, RECORDS_TOTAL, STAGE_LATENCY_SECONDS
from schemas.catalogue import FAULT_EVENTS, FAULTS, SERVICE_FAULTS
from schemas.records import FaultEvent, FaultSnapshot, ServiceFault

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 5.0
_SERVICE = "fault-injector"


class FaultPublisher:
    """Keeps what is to be written until the broker has it; belongs to one thread.

    Service faults go first: a fault that the events call over must be over on the joined topic too, for after
    a crash in between only the events are looked at. States go last, and nothing waits for them: a start puts
    them right by the events that lie behind their positions.

    Args:
        publisher: writes them.
        clock: epoch microseconds UTC.
    """

    def __init__(self, publisher: Publisher, clock: Callable[[], int]) -> None:
        self._publisher = publisher
        self._clock = clock
        self._faults: deque[ServiceFault] = deque()
        self._events: deque[FaultEvent] = deque()
        self._states: dict[str, FaultSnapshot | None] = {}
        self._confirmed_at_us: int | None = None
        self._positions: tuple[int, ...] = ()
        self._written: dict[int, int] = {}
        self._is_durable = True

    def begin_at(self, stored: Sequence[int], ends: Sequence[int]) -> None:
        """Sets where events begin that the states don't include, and where the events end."""
        self._positions = tuple(stored)
        self._written = dict(enumerate(ends))

    def publish(self, action: Publish) -> None:
        """Adds records, to be written by `make_durable` and `store`."""
        self._is_durable = False
        self._events.extend(action.events)
        self._faults.extend(action.service_faults)
        self._states[action.snapshot.fault_id] = action.snapshot
        if action.confirmed_at_us is not None:
            self._confirmed_at_us = action.confirmed_at_us

    def forget(self, fault_id: str) -> None:
        """Adds the deletion of a state."""
        self._states[fault_id] = None

    def make_durable(self) -> None:
        """Returns once all events are durable.

        Raises:
            Retryable: the broker is busy; calling again goes on where this stopped.
        """
        if self._is_durable:
            return
        self._send_faults()
        while self._events:
            self._send_event(self._events[0])
            self._events.popleft()
        self._publisher.flush(FLUSH_TIMEOUT_S)
        self._is_durable = True

    def store(self) -> None:
        """Sends the states of what is durable; they reach the log in this order. Raises as `make_durable`."""
        if not self._states:
            return
        while self._states:
            fault_id = next(iter(self._states))
            self._send_state(fault_id, self._states[fault_id])
            del self._states[fault_id]
        # All states that lead here lie on the one partition before those that will say so.
        self._positions = tuple(self._written.get(index, 0) for index in range(len(self._written)))

    def _send_faults(self) -> None:
        while self._faults:
            self._publisher.publish(self._faults[0])
            self._faults.popleft()
            RECORDS_TOTAL.labels(_SERVICE, SERVICE_FAULTS, "out").inc()
        # States of earlier events may be under way; a label must not wait for them.
        self._publisher.flush(FLUSH_TIMEOUT_S, SERVICE_FAULTS)
        if self._confirmed_at_us is not None:
            late_us = self._clock() - self._confirmed_at_us
            STAGE_LATENCY_SECONDS.labels("label").observe(max(0, late_us) / 1e6)
            self._confirmed_at_us = None

    def _send_event(self, event: FaultEvent) -> None:
        self._publisher.publish(event, on_delivery=self._delivered)
        FAULT_EVENTS_TOTAL.labels(event.state).inc()
        RECORDS_TOTAL.labels(_SERVICE, FAULT_EVENTS, "out").inc()
        where, why = event.instance or event.service, f": {event.reason}" if event.reason else ""
        logger.info("fault %s on %s is %s%s", event.fault_id, where, event.state, why)

    def _send_state(self, fault_id: str, state: FaultSnapshot | None) -> None:
        if state is None:
            self._publisher.delete(FaultSnapshot, fault_id)
        else:
            self._publisher.publish(replace(state, positions=self._positions))
        RECORDS_TOTAL.labels(_SERVICE, FAULTS, "out").inc()

    def _delivered(self, message: Message) -> None:
        # From another thread, but before the flush that `store` waits for returns.
        self._written[message.partition] = message.offset + 1
