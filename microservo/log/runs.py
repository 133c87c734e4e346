"""Runs on the log: what is known of them and which offsets are theirs."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.adapters.broker import Broker, Consumer, Partition
from microservo.domain.joined_topics import SOURCES, TOLD_LATER
from microservo.errors import InvalidInput, OffsetGap
from microservo.log.ranges import Ranges
from microservo.log.reader import state_of
from schemas import catalogue
from schemas.records import Experiment

FACTS = (
    catalogue.FAULT_EVENTS,
    catalogue.SERVICE_GRAPH,
    catalogue.SERVICE_INSTANCES,
    catalogue.ANOMALY_SCORES,
    catalogue.TELEMETRY_LOSSES,
)
"""Topics that go into a dataset as they are, by logical name."""

_OPTIONAL = (
    catalogue.SERVICE_GRAPH,
    catalogue.SERVICE_INSTANCES,
    catalogue.ANOMALY_SCORES,
    catalogue.TELEMETRY_LOSSES,
    catalogue.LABELLED_WINDOWS,
    *TOLD_LATER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """A run and the offsets [first, end) that it takes, by logical topic and partition number."""

    run: Experiment
    prefix: str
    offsets: dict[tuple[str, int], tuple[int, int]]

    def ranges(self, *topics: str) -> Ranges:
        """The ranges of some topics on the broker, without the empty ones."""
        return {
            Partition(self.prefix + topic, index): (first, end)
            for (topic, index), (first, end) in self.offsets.items()
            if topic in topics and first < end
        }

    def partition_numbers(self) -> list[int]:
        """The numbers of the joined topics' partitions."""
        return sorted({index for topic, index in self.offsets if topic in SOURCES})


def runs(broker: Broker, topic_prefix: str = "") -> list[Experiment]:
    """The newest state of every run, in order of their start; unreadable records are passed over."""
    with broker.consumer(group_id=None) as consumer:
        return _runs(consumer, topic_prefix)


def _runs(consumer: Consumer, topic_prefix: str) -> list[Experiment]:
    newest = state_of(consumer, topic_prefix + catalogue.EXPERIMENTS, Experiment)
    return sorted(newest.values(), key=lambda run: (run.started_at_us, run.run_id))


def find_run(broker: Broker, run_id: str, topic_prefix: str = "") -> RunLog:
    """As `run_log`, with a consumer of its own."""
    with broker.consumer(group_id=None) as consumer:
        return run_log(consumer, run_id, topic_prefix)


def run_log(consumer: Consumer, run_id: str, topic_prefix: str = "") -> RunLog:
    """A run with its offsets; those of a run that goes on end where the log ends now.

    Raises:
        InvalidInput: there is no such run (the message names those that are there), or the joined topics
            differ in their number of partitions.
        OffsetGap: the log no longer holds what the run wrote.
    """
    # All is asked before anything is read: behind a fetch that waits for more, an answer takes long.
    kept = {
        (topic, partition): consumer.offset_range(partition)
        for topic in (*SOURCES, *FACTS, catalogue.LABELLED_WINDOWS)
        for partition in _partitions(consumer, topic, topic_prefix)
    }
    found = _runs(consumer, topic_prefix)
    run = next((each for each in found if each.run_id == run_id), None)
    if run is None:
        known = ", ".join(each.run_id for each in found[-5:]) or "none"
        msg = f"no run {run_id!r} on {topic_prefix}{catalogue.EXPERIMENTS}; the newest are: {known}"
        raise InvalidInput(msg)
    offsets = {
        (topic, partition.index): _range(consumer, run, topic, partition, now)
        for (topic, partition), now in kept.items()
    }
    _refuse_uneven(offsets)
    return RunLog(run=run, prefix=topic_prefix, offsets=offsets)


def _partitions(consumer: Consumer, topic: str, prefix: str) -> list[Partition]:
    try:
        return consumer.partitions(prefix + topic)
    except InvalidInput:
        if topic in _OPTIONAL:
            return []
        raise


def _refuse_uneven(offsets: dict[tuple[str, int], tuple[int, int]]) -> None:
    counts = {source: sum(topic == source for topic, _ in offsets) for source in SOURCES}
    counts = {source: count for source, count in counts.items() if count or source not in _OPTIONAL}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{source} {count}" for source, count in counts.items())
        msg = f"joined topics need the same number of partitions, but have: {found}; make them anew"
        raise InvalidInput(msg)


def _range(
    consumer: Consumer, run: Experiment, topic: str, partition: Partition, kept: tuple[int, int]
) -> tuple[int, int]:
    name = f"{topic}/{partition.index}"
    if run.end_offsets.get(name, 0) > kept[1]:
        # The run may have ended since it was asked for.
        kept = consumer.offset_range(partition)
    oldest, next_offset = kept
    first = run.start_offsets.get(name, oldest)
    end = run.end_offsets.get(name, next_offset)
    if first < oldest and first < end:
        raise OffsetGap(partition.topic, partition.index, first, oldest)
    if end > next_offset:
        raise OffsetGap(partition.topic, partition.index, end, next_offset)
    return first, max(first, end)
