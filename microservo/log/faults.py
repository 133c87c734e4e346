"""The stories of faults as they lie on `fault-events`."""

from __future__ import annotations

from collections.abc import Iterable

from microservo.adapters.broker import Broker
from microservo.domain.faults.lifecycle import WHOLE
from microservo.log.subscription import Subscription
from schemas.records import FaultEvent


def latest_events(broker: Broker, topic: str) -> list[FaultEvent]:
    """The newest event of every fault and instance, in order of the requests.

    A fault that no instance was touched by is there with its events about the whole.
    """
    newest: dict[tuple[str, str], FaultEvent] = {}
    with Subscription(broker, topic, start="earliest", until_end=True) as events:
        for received in events:
            if isinstance(received.record, FaultEvent):
                keep_newest(newest, received.record)
    return in_order(newest.values())


def keep_newest(newest: dict[tuple[str, str], FaultEvent], event: FaultEvent) -> None:
    """Takes the event in, unless a later version of it is known."""
    key = (event.fault_id, event.instance)
    known = newest.get(key)
    if known is None or known.version <= event.version:
        newest[key] = event


def in_order(events: Iterable[FaultEvent]) -> list[FaultEvent]:
    """Events by request, fault and instance, without those about the whole where its instances speak."""
    found = list(events)
    with_instances = {event.fault_id for event in found if event.instance != WHOLE}
    kept = [event for event in found if event.instance != WHOLE or event.fault_id not in with_instances]
    return sorted(kept, key=lambda event: (event.requested_at_us, event.fault_id, event.instance))
