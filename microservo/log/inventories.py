"""What was known last of the services of a run: the inventories on `telemetry-metrics`."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.log.ranges import Ranges, read_ranges
from schemas import catalogue
from schemas.codec import SchemaError, decode
from schemas.envelope import Stamp
from schemas.records import ServiceInventory

_LOOK_BACK_US = 5_000_000
"""Several times as long as from one inventory of a service to the next."""
_MILLISECOND_US = 1_000


def last_inventories(
    broker: Broker, *, run_id: str, until_us: int, topic_prefix: str = "", writer: str | None = None
) -> list[ServiceInventory]:
    """The newest inventory of each service, by name, of those that were sent shortly before an instant.

    Args:
        broker: where the run is.
        run_id: the run.
        until_us: the instant, in microseconds UTC.
        topic_prefix: put before every topic name.
        writer: whose are wanted; by default anybody's.

    Raises:
        InvalidInput: there is no such topic.
        Retryable: the broker is away for now.
    """
    newest: dict[str, ServiceInventory] = {}
    with broker.consumer(group_id=None) as consumer:
        ranges = _ranges(consumer, topic_prefix + catalogue.TELEMETRY_METRICS, until_us)
        for message in read_ranges(consumer, ranges):
            if (found := _inventory(message, run_id, writer)) is not None:
                known = newest.setdefault(found.service, found)
                newest[found.service] = max(known, found, key=lambda each: each.time_us)
    return [newest[service] for service in sorted(newest)]


def _ranges(consumer: Consumer, topic: str, until_us: int) -> Ranges:
    # A timestamp on the broker has whole milliseconds.
    instants = (until_us - _LOOK_BACK_US, until_us + _MILLISECOND_US)
    places: Mapping[Partition, list[int]] = {
        partition: [consumer.offset_at(partition, at_us) for at_us in instants]
        for partition in consumer.partitions(topic)
    }
    return {partition: (first, end) for partition, (first, end) in places.items()}


def _inventory(message: Message, run_id: str, writer: str | None) -> ServiceInventory | None:
    try:
        stamp = Stamp.read(message.headers)
        record = decode(message.value) if message.value else None
    except (ValueError, SchemaError):
        return None  # the join says what is wrong with it
    if stamp.run != run_id or writer not in (None, stamp.writer):
        return None
    return record if isinstance(record, ServiceInventory) else None
