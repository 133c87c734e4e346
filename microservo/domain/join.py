"""One message of a joined topic into the windower: the same for the live processor and for a replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microservo.domain.windows import Windower
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.codec import SchemaError, decode_as
from schemas.envelope import Stamp
from schemas.records import LogBatch, MetricBatch, ServiceFault, SpanBatch

NOTHING_US = -1
"""End of the newest window that a message without records touches."""

_BATCHES: dict[str, type[MetricBatch] | type[LogBatch] | type[SpanBatch]] = {
    catalogue.TELEMETRY_METRICS: MetricBatch,
    catalogue.TELEMETRY_LOGS: LogBatch,
    catalogue.TELEMETRY_TRACES: SpanBatch,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a message was.

    Attributes:
        newest_end_us: end of the newest window that it touches; NOTHING_US for heartbeats and faults.
        record: the record that it held; None for a heartbeat.
    """

    newest_end_us: int = NOTHING_US
    record: MetricBatch | LogBatch | SpanBatch | ServiceFault | None = None


def take(windower: Windower, source: str, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Taken:
    """Gives one message of `source` (logical topic) to the windower.

    A message whose value can't be read still counts as a promise, if it carries one: what follows flows on.

    Raises:
        InvalidMessage: no stamp, not the record of this topic, or refused by the windower.
    """
    return take_stamped(windower, source, value, _stamp(headers))


def take_stamped(windower: Windower, source: str, value: bytes | None, stamp: Stamp) -> Taken:
    """As `take`, for who has read the stamp already.

    Raises:
        InvalidMessage: not the record of this topic, or refused by the windower.
    """
    if value is None:
        windower.heartbeat(source, stamp)
        return Taken()
    try:
        if source == catalogue.SERVICE_FAULTS:
            fault = decode_as(ServiceFault, value)
            windower.fault(fault, stamp)
            return Taken(record=fault)
        batch = decode_as(_BATCHES[source], value)
    except SchemaError as error:
        windower.heartbeat(source, stamp)
        raise InvalidMessage(str(error)) from error
    return Taken(newest_end_us=windower.telemetry(batch, stamp), record=batch)


def _stamp(headers: Sequence[tuple[str, bytes]]) -> Stamp:
    try:
        return Stamp.read(headers)
    except ValueError as error:
        raise InvalidMessage(str(error)) from error
