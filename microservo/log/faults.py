"""Faults on the log: their states on `faults`, their whole history on `fault-events`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from microservo.adapters.broker import Broker
from microservo.domain.faults.decider.snapshot import events_of
from microservo.domain.faults.lifecycle import WHOLE
from microservo.log.reader import read_state
from microservo.log.subscription import Subscription
from schemas.codec import SchemaError
from schemas.records import FaultEvent, FaultSnapshot

logger = logging.getLogger(__name__)


def latest_events(broker: Broker, topic: str) -> list[FaultEvent]:
    """The newest event of each instance of the faults that are open or were closed last, by their requests.

    A fault that no instance was touched by is there with its event about the whole. However long the
    history, only the states are read.

    Args:
        broker: where the topic lies.
        topic: physical name of `faults`.
    """
    states = read_state(broker, topic, FaultSnapshot)
    return in_order(event for state in states.values() for event in _readable(state))


def all_latest_events(broker: Broker, topic: str) -> list[FaultEvent]:
    """As `latest_events`, but of every fault there ever was: the whole history is read.

    Args:
        broker: where the topic lies.
        topic: physical name of `fault-events`.
    """
    newest: dict[tuple[str, str], FaultEvent] = {}
    with Subscription(broker, topic, start="earliest", until_end=True) as events:
        for received in events:
            if isinstance(received.record, FaultEvent):
                keep_newest(newest, received.record)
    return in_order(newest.values())


def _readable(state: FaultSnapshot) -> Sequence[FaultEvent]:
    try:
        return events_of(state)
    except SchemaError as error:
        logger.warning("the state of fault %s can't be read: %s", state.fault_id, error)
        return ()


def keep_newest(newest: dict[tuple[str, str], FaultEvent], event: FaultEvent) -> None:
    """Enters the event, unless a later version of it is known."""
    key = (event.fault_id, event.instance)
    known = newest.get(key)
    if known is None or known.version <= event.version:
        newest[key] = event


def in_order(events: Iterable[FaultEvent]) -> list[FaultEvent]:
    """Events by request, fault and instance, without those about the whole where its instances have some."""
    found = list(events)
    with_instances = {event.fault_id for event in found if event.instance != WHOLE}
    kept = [event for event in found if event.instance != WHOLE or event.fault_id not in with_instances]
    return sorted(kept, key=lambda event: (event.requested_at_us, event.fault_id, event.instance))
