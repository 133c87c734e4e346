"""One message of a joined topic into the windower: the same for the live processor and for a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from microservo.domain.watermarks import NOTHING_PASSED, Passed
from microservo.domain.windows import NOTHING_US, Windower
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.codec import SchemaError, decode
from schemas.envelope import Stamp
from schemas.records import (
    FaultEffect,
    FaultVerdict,
    LogBatch,
    MetricBatch,
    ServiceAction,
    ServiceFault,
    ServiceInventory,
    SpanBatch,
)

Joined = (
    MetricBatch
    | LogBatch
    | SpanBatch
    | ServiceInventory
    | ServiceFault
    | FaultEffect
    | FaultVerdict
    | ServiceAction
)
"""The records of the joined topics."""

_RECORDS: dict[str, tuple[type[Joined], ...]] = {
    catalogue.TELEMETRY_METRICS: (MetricBatch, ServiceInventory),
    catalogue.TELEMETRY_LOGS: (LogBatch,),
    catalogue.TELEMETRY_TRACES: (SpanBatch,),
    catalogue.SERVICE_FAULTS: (ServiceFault,),
    catalogue.FAULT_EFFECTS: (FaultEffect, FaultVerdict),
    catalogue.SERVICE_ACTIONS: (ServiceAction,),
}


class Processed(NamedTuple):
    """What a message was.

    Attributes:
        newest_end_us: of telemetry, the end of the newest window that it touches; else NOTHING_US.
        late: the windows that its records came late for, but for the delay of its service.
        record: the record that it held; None for a heartbeat.
    """

    newest_end_us: int = NOTHING_US
    late: Passed = NOTHING_PASSED
    record: Joined | None = None


def stamp_of(headers: Sequence[tuple[str, bytes]]) -> Stamp | InvalidMessage:
    """The stamp that a message carries, or what is wrong with it."""
    try:
        return Stamp.read(headers)
    except ValueError as error:
        return InvalidMessage(str(error))


def process_message(
    windower: Windower, source: str, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> Processed:
    """Processes one message of `source` (logical topic) in the windower.

    A message whose value can't be read still counts as a promise, if it carries one: what follows flows on.

    Raises:
        InvalidMessage: no stamp, not the record of this topic, or refused by the windower.
    """
    return process_stamped(windower, source, value, stamp_of(headers))


def process_stamped(
    windower: Windower, source: str, value: bytes | None, stamp: Stamp | InvalidMessage
) -> Processed:
    """As `process_message`, for a caller that has called `stamp_of` already.

    Raises:
        InvalidMessage: no stamp, not the record of this topic, or refused by the windower.
    """
    if isinstance(stamp, InvalidMessage):
        raise stamp
    if value is None:
        windower.heartbeat(source, stamp)
        return Processed()
    try:
        record = _decoded(source, value)
    except SchemaError as error:
        windower.heartbeat(source, stamp)
        raise InvalidMessage(str(error)) from error
    # Most are telemetry, so it is asked for first.
    if isinstance(record, (MetricBatch, LogBatch, SpanBatch)):
        return Processed(*windower.telemetry(record, stamp), record)
    if isinstance(record, ServiceInventory):
        return Processed(*windower.inventory(record, stamp), record)
    if isinstance(record, ServiceFault):
        return Processed(late=windower.fault(record, stamp), record=record)
    if isinstance(record, ServiceAction):
        return Processed(late=windower.action(record, stamp), record=record)
    return Processed(late=windower.effect(record, stamp), record=record)


def _decoded(source: str, value: bytes) -> Joined:
    record, expected = decode(value), _RECORDS[source]
    if not isinstance(record, expected):
        names = " or a ".join(each.__name__ for each in expected)
        msg = f"expected a {names}, got a {type(record).__name__}"
        raise SchemaError(msg)
    return record
