"""The faults of one campaign: requested so that a second request changes nothing, and followed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from microservo.application.connection import Connection
from microservo.domain.campaigns.plan import PlannedStep, fault_id, request_of
from microservo.domain.faults.lifecycle import LAST_STATES
from microservo.log.faults import in_order, keep_newest, latest_events
from microservo.log.publisher import Publisher
from microservo.log.reader import read_topic
from microservo.log.subscription import Subscription
from schemas.catalogue import FAULT_EVENTS, FAULT_REQUESTS, FAULTS
from schemas.codec import SchemaError, decode_as
from schemas.records import FaultEvent, FaultRequest

FLUSH_S = 30.0
_SLACK_US = 60_000_000
"""How far the clock of the request and that of the broker's timestamps may differ."""


class CampaignFaults:
    """Use it as a context; belongs to one thread.

    Args:
        connection: to the broker.
        publisher: of requests.
        campaign_id: whose faults they are.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, connection: Connection, publisher: Publisher, campaign_id: str, clock: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._publisher = publisher
        self._campaign_id = campaign_id
        self._clock = clock
        self._newest: dict[tuple[str, str], FaultEvent] = {}
        # Its place is fixed before we look back, so that no event falls between the two.
        self._coming = Subscription(connection.broker, connection.topic(FAULT_EVENTS))
        for event in latest_events(connection.broker, connection.topic(FAULTS)):
            self._keep(event)

    def id_of(self, step: PlannedStep) -> str:
        """The id of a fault."""
        return fault_id(self._campaign_id, step)

    def request(self, step: PlannedStep, requested_at_us: int) -> None:
        """Requests a fault, durably; the same request again changes nothing.

        Raises:
            Retryable: the broker is away for now.
        """
        self._publisher.publish(request_of(self._campaign_id, step, requested_at_us))
        self._publisher.flush(FLUSH_S)

    def stop(self, steps: Iterable[PlannedStep]) -> None:
        """Asks to end faults that are in force."""
        for step in steps:
            self._publisher.publish(
                FaultRequest(
                    fault_id=self.id_of(step),
                    action="stop",
                    requested_at_us=self._clock(),
                    requested_by=f"campaign {self._campaign_id}",
                )
            )
        self._publisher.flush(FLUSH_S)

    def was_requested(self, step: PlannedStep, requested_at_us: int) -> bool:
        """Whether the request of a fault that the journal has lies on the topic."""
        if self.events(step):
            return True
        topic, start_us = self._connection.topic(FAULT_REQUESTS), max(0, requested_at_us - _SLACK_US)
        for message in read_topic(self._connection.broker, topic, start=start_us):
            try:
                request = decode_as(FaultRequest, message.value or b"")
            except SchemaError:
                continue
            if request.fault_id == self.id_of(step) and request.action == "inject":
                return True
        return False

    def poll(self, timeout_s: float) -> None:
        """Takes over what has happened; waits a little where nothing has.

        Raises:
            Retryable: the broker is away for now.
        """
        received = self._coming.poll(timeout_s)
        while received is not None:
            if isinstance(received.record, FaultEvent):
                self._keep(received.record)
            received = self._coming.poll(0.0)

    def events(self, step: PlannedStep) -> list[FaultEvent]:
        """The newest event of each instance; of the whole fault while no instance has been touched."""
        return in_order(event for (name, _), event in self._newest.items() if name == self.id_of(step))

    def over_at_us(self, step: PlannedStep) -> int | None:
        """When a fault was over on every instance, in epoch microseconds; None while it is not."""
        events = self.events(step)
        if not events or any(event.state not in LAST_STATES for event in events):
            return None
        return max(event.at_us for event in events)

    def close(self) -> None:
        """Leaves the topic."""
        self._coming.close()

    def _keep(self, event: FaultEvent) -> None:
        if event.fault_id.startswith(f"{self._campaign_id}-"):
            keep_newest(self._newest, event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
