"""What lies on the topics of one run: its records, and what was found last of faults and windows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from microservo.adapters.broker import Broker, Consumer
from microservo.log.ranges import Ranges, read_ranges
from microservo.log.runs import find_run
from schemas.catalogue import FAULT_EFFECTS, LABELLED_WINDOWS, SERVICE_ACTIONS
from schemas.codec import SchemaError, decode
from schemas.records import Experiment, FaultEffect, LabelledWindow, ServiceAction, Truth


def records_of_run(broker: Broker, topic_prefix: str, run_id: str, topic: str) -> Iterator[object]:
    """The records of a run on a topic, partition by partition; what can't be read is passed over.

    Args:
        broker: where the run lies.
        topic_prefix: put before every topic name.
        run_id: the run.
        topic: logical name.

    Raises:
        InvalidInput: there is no such run.
    """
    run = find_run(broker, run_id, topic_prefix).run
    with broker.consumer(group_id=None) as consumer:
        for message in read_ranges(consumer, _ranges(consumer, run, topic, topic_prefix), compacted=True):
            with contextlib.suppress(SchemaError):
                record = decode(message.value) if message.value else None
                if getattr(record, "run_id", None) == run_id:
                    yield record


def newest_effects(broker: Broker, topic_prefix: str, run_id: str) -> dict[tuple[str, str], FaultEffect]:
    """What the observer found last, by fault and service; arguments as of `records_of_run`."""
    found: dict[tuple[str, str], FaultEffect] = {}
    for record in records_of_run(broker, topic_prefix, run_id, FAULT_EFFECTS):
        if isinstance(record, FaultEffect):
            key = (record.fault_id, record.service)
            found[key] = max(record, found.get(key, record), key=lambda each: each.version)
    return found


def newest_actions(broker: Broker, topic_prefix: str, run: Experiment) -> list[ServiceAction]:
    """What was told last of each act of placement in a run, in order of the decisions.

    Args:
        broker: where the run lies.
        topic_prefix: put before every topic name.
        run: its record.

    Raises:
        InvalidInput: the broker has no topic of them.
        Retryable: the broker stopped giving messages.
    """
    found: dict[tuple[str, str], ServiceAction] = {}
    with broker.consumer(group_id=None) as consumer:
        ranges = _ranges(consumer, run, SERVICE_ACTIONS, topic_prefix)
        for message in read_ranges(consumer, ranges, compacted=True):
            with contextlib.suppress(SchemaError):
                record = decode(message.value) if message.value else None
                if isinstance(record, ServiceAction) and record.run_id == run.run_id:
                    key = (record.decision_id, record.service)
                    found[key] = max(record, found.get(key, record), key=lambda each: each.version)
    return sorted(found.values(), key=lambda each: (each.decided_us, each.decision_id))


def newest_truth(broker: Broker, topic_prefix: str, run_id: str) -> dict[tuple[str, int], Truth]:
    """What the newest revision of each window says, by service and start; arguments as above."""
    newest: dict[tuple[str, int], tuple[int, Truth]] = {}
    for record in records_of_run(broker, topic_prefix, run_id, LABELLED_WINDOWS):
        if isinstance(record, LabelledWindow):
            key = (record.service, record.start_us)
            newest[key] = max(newest.get(key, (-1, record.truth)), (record.revision, record.truth))
    return {key: truth for key, (_, truth) in sorted(newest.items())}


def _ranges(consumer: Consumer, run: Experiment, topic: str, topic_prefix: str) -> Ranges:
    found = {}
    for partition in consumer.partitions(topic_prefix + topic):
        oldest, next_offset = consumer.offset_range(partition)
        name = f"{topic}/{partition.index}"
        first = max(oldest, run.start_offsets.get(name, oldest))
        found[partition] = first, max(first, min(next_offset, run.end_offsets.get(name, next_offset)))
    return found
