"""Reading back what earlier processes wrote: the states, and what lies behind them; never the whole history."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.domain.faults.decider.events import KnownFault
from microservo.domain.faults.decider.restart import is_unfinished
from microservo.domain.faults.decider.snapshot import known_fault, reconciled
from microservo.log.faults import newest_states, ranges_of
from microservo.log.ranges import Ranges, read
from schemas.catalogue import FAULT_EVENTS, FAULTS, SERVICE_FAULTS
from schemas.codec import SchemaError, decode_as
from schemas.records import FaultEvent, FaultSnapshot, ServiceFault

logger = logging.getLogger(__name__)

RecordT = TypeVar("RecordT")

_CLOCK_SLACK_US = 60_000_000
"""How far the clocks that wrote events and the broker's timestamps may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """What earlier processes left.

    Attributes:
        faults: as known by everything they wrote.
        stored: for each partition of `fault-events`, up to where the states know the events.
        read: for each of these partitions, where it ended.
    """

    faults: tuple[KnownFault, ...]
    stored: tuple[int, ...]
    read: tuple[int, ...]


def read_back(broker: Broker, topic: Callable[[str], str], clock: Callable[[], int]) -> LeftBehind:
    """What earlier processes left on the topics.

    Raises:
        InvalidInput: one of the topics is missing.
        Retryable: the broker is busy.
    """
    with broker.consumer(group_id=None) as consumer:
        # All is asked before anything is read: behind a fetch that waits for more, an answer takes long.
        states, events, faults = (ranges_of(consumer, topic(name)) for name in _TOPICS)
        snapshots = newest_states(consumer, states)
        stored = _positions(snapshots, events)
        behind = {each: (max(first, stored[each.index]), end) for each, (first, end) in events.items()}
        known = reconciled(_known(snapshots), _records(FaultEvent, consumer, behind), ())
        known = reconciled(known, (), _service_faults(consumer, faults, known, clock()))
    ends = tuple(end for _, (_, end) in sorted(events.items()))
    return LeftBehind(faults=tuple(known), stored=stored, read=ends)


_TOPICS = (FAULTS, FAULT_EVENTS, SERVICE_FAULTS)


def _positions(snapshots: list[FaultSnapshot], events: Ranges) -> tuple[int, ...]:
    return tuple(
        max((each.positions[index] for each in snapshots if index < len(each.positions)), default=0)
        for index in range(len(events))
    )


def _known(snapshots: list[FaultSnapshot]) -> Iterator[KnownFault]:
    for snapshot in snapshots:
        try:
            yield known_fault(snapshot)
        except SchemaError as error:
            logger.warning("the state of fault %s can't be read: %s", snapshot.fault_id, error)


def _service_faults(
    consumer: Consumer, ranges: Ranges, known: list[KnownFault], now_us: int
) -> Iterator[ServiceFault]:
    """Those that were written since the newest events of what is unfinished, for one may lack its event."""
    since_us = min(
        (_changed_at_us(each) for each in known if is_unfinished(each.story, now_us)), default=None
    )
    if since_us is None:
        return
    begins = {
        each: (max(first, consumer.offset_at(each, max(0, since_us - _CLOCK_SLACK_US))), end)
        for each, (first, end) in ranges.items()
    }
    yield from _records(ServiceFault, consumer, {each: span for each, span in begins.items() if span[0] < span[1]})


def _changed_at_us(fault: KnownFault) -> int:
    """When anything was last written of a fault, or may first have been: before its start nothing is."""
    latest_us = max(event.at_us for event in fault.story.latest.values())
    start_us = fault.request.start_at_us if fault.request is not None else None
    return max(latest_us, start_us or 0) if not fault.story.instances else latest_us


def _records(record_type: type[RecordT], consumer: Consumer, ranges: Ranges) -> Iterator[RecordT]:
    """The records in these ranges; heartbeats are left out, and what can't be read is said in the log."""
    for message in read(consumer, ranges):
        if message.value is not None and (record := _decoded(record_type, message)) is not None:
            yield record


def _decoded(record_type: type[RecordT], message: Message) -> RecordT | None:
    assert message.value is not None
    try:
        return decode_as(record_type, message.value)
    except SchemaError as error:
        logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)
        return None
