"""Reading back what earlier processes wrote: the states, and what lies behind them; not the whole history."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from microservo.adapters.broker import Broker, Message
from microservo.domain.faults.decider.events import KnownFault
from microservo.domain.faults.decider.restart import is_unfinished
from microservo.domain.faults.decider.snapshot import known_fault, reconciled
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from, read_state, read_topic
from schemas.catalogue import FAULT_EVENTS, FAULTS, SERVICE_FAULTS
from schemas.codec import SchemaError, decode_as
from schemas.records import FaultEvent, FaultSnapshot, ServiceFault

logger = logging.getLogger(__name__)

RecordT = TypeVar("RecordT")

_CLOCK_SLACK_US = 60_000_000
"""How far the clock of the events and that of the broker's timestamps may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """What earlier processes left.

    Attributes:
        faults: as known by everything they wrote, that which changed last at the end.
        stored: for each partition of `fault-events`, up to where the states know the events.
        ends: for each of these partitions, where it ends.
    """

    faults: tuple[KnownFault, ...]
    stored: tuple[int, ...]
    ends: tuple[int, ...]


def read_back(broker: Broker, topic: Callable[[str], str], clock: Callable[[], int]) -> LeftBehind:
    """What earlier processes left on the topics.

    Raises:
        InvalidInput: one of the topics is missing.
        Retryable: the broker is busy.
    """
    states = read_state(broker, topic(FAULTS), FaultSnapshot).values()
    with broker.consumer(group_id=None) as consumer:
        events = ranges_from(consumer, topic(FAULT_EVENTS))
        stored = tuple(_stored(states, partition.index) for partition in sorted(events))
        behind = {each: (max(first, stored[each.index]), end) for each, (first, end) in events.items()}
        messages = read_ranges(consumer, behind, compacted=True)
        known = reconciled(_in_order_of_change(_known(states)), _records(FaultEvent, messages), ())
    since_us = _written_since_us(known, clock())
    if since_us is not None:
        later = read_topic(broker, topic(SERVICE_FAULTS), start=since_us)
        known = reconciled(known, (), _records(ServiceFault, later))
    ends = tuple(events[partition][1] for partition in sorted(events))
    is_all_stored = all(each.is_stored for each in known)
    return LeftBehind(faults=tuple(known), stored=ends if is_all_stored else stored, ends=ends)


def _stored(states: Iterable[FaultSnapshot], partition: int) -> int:
    """Up to where the states know the events of a partition."""
    return max((each.positions[partition] for each in states if partition < len(each.positions)), default=0)


def _known(states: Iterable[FaultSnapshot]) -> Iterator[KnownFault]:
    for state in states:
        try:
            yield known_fault(state)
        except SchemaError as error:
            logger.warning("the state of fault %s can't be read: %s", state.fault_id, error)


def _in_order_of_change(known: Iterable[KnownFault]) -> list[KnownFault]:
    return sorted(known, key=_changed_at_us)


def _written_since_us(known: Iterable[KnownFault], now_us: int) -> int | None:
    """Since when a service may know of a version whose event was lost; None if nothing is unfinished."""
    changes = [_expected_at_us(each) for each in known if is_unfinished(each.status, now_us)]
    return max(0, min(changes) - _CLOCK_SLACK_US) if changes else None


def _expected_at_us(fault: KnownFault) -> int:
    """When the next change can have been at the earliest: before its start no service knows of a fault."""
    changed_us = _changed_at_us(fault)
    if fault.request is None or fault.status.instances:
        return changed_us
    return max(changed_us, fault.request.start_at_us or 0)


def _changed_at_us(fault: KnownFault) -> int:
    return max(event.at_us for event in fault.status.latest.values())


def _records(record_type: type[RecordT], messages: Iterable[Message]) -> Iterator[RecordT]:
    """The records of messages; heartbeats are left out, and what can't be read is said in the log."""
    for message in messages:
        if message.value is None:
            continue
        try:
            yield decode_as(record_type, message.value)
        except SchemaError as error:
            logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)
