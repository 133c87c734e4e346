"""Runs on the log: what is known of them and which offsets are theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.domain.windows import SOURCES
from microservo.errors import InvalidInput, OffsetGap, Retryable
from microservo.log.publisher import Publisher
from microservo.log.ranges import Ranges
from microservo.log.reader import positions, state_of
from schemas import catalogue
from schemas.codec import SchemaError, decode_as
from schemas.records import Experiment

FACTS = (catalogue.FAULT_EVENTS, catalogue.SERVICE_GRAPH, catalogue.ANOMALY_SCORES)
"""Topics that go into a dataset as they are, by logical name."""

_BATCH = 1000
_FLUSH_S = 30.0
_ROUND_S = 0.2
_SILENT_ROUNDS = 25
_OPTIONAL = (catalogue.SERVICE_GRAPH, catalogue.ANOMALY_SCORES, catalogue.LABELLED_WINDOWS)


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


class KnownRuns:
    """The newest state of every run, and until when it is known; belongs to one thread at a time.

    Args:
        broker: where the runs are.
        topic_prefix: put before every topic name.
        clock: epoch microseconds UTC.
    """

    def __init__(self, broker: Broker, topic_prefix: str, clock: Callable[[], int]) -> None:
        self._broker = broker
        self._topic = topic_prefix + catalogue.EXPERIMENTS
        self._clock = clock
        self._consumer: Consumer | None = None
        self._next: dict[Partition, int] = {}
        self._runs: dict[str, Experiment] = {}
        self.known_until_us = 0
        """All that was written before this instant is known."""

    def get(self, run_id: str) -> Experiment | None:
        """The newest state of a run; None where nobody recorded it."""
        return self._runs.get(run_id)

    def refresh(self) -> None:
        """Reads on to where the topic ends now.

        Raises:
            InvalidInput: there is no such topic.
            Retryable: the broker is away for now.
        """
        asked_us = self._clock()
        consumer = self._assigned()
        ends = {partition: consumer.offset_range(partition)[1] for partition in self._next}
        for _ in self._read(ends):
            pass
        self.known_until_us = asked_us

    def overwritten(self, written: Message, run_id: str) -> Experiment | None:
        """Reads on to a record that was written here, and returns what it overwrote unseen; None for nothing.

        Raises:
            Retryable: the broker is away for now.
        """
        until = {Partition(written.topic, written.partition): written.offset + 1}
        others = [
            (message.offset, run)
            for message in self._read(until)
            if message.offset != written.offset
            and (run := _experiment(message.value or b"")) is not None
            and run.run_id == run_id
        ]
        return others[-1][1] if others and others[0][0] < written.offset else None

    def close(self) -> None:
        """Closes the consumer."""
        if self._consumer is not None:
            self._consumer.close()

    def _assigned(self) -> Consumer:
        if self._consumer is None:
            consumer = self._broker.consumer(group_id=None)
            try:
                self._next = positions(consumer, self._topic)
                consumer.assign(self._next)
            except BaseException:
                consumer.close()
                raise
            self._consumer = consumer
        return self._consumer

    def _read(self, ends: Mapping[Partition, int]) -> Iterator[Message]:
        """Enters and gives the messages up to these ends."""
        consumer, silent_rounds = self._assigned(), 0
        while any(self._next[partition] < end for partition, end in ends.items()):
            messages = consumer.consume(_BATCH, _ROUND_S)
            silent_rounds = 0 if messages else silent_rounds + 1
            if silent_rounds > _SILENT_ROUNDS:
                msg = f"{self._topic} ends at {dict(ends)}, but nothing arrives after {self._next}; try again"
                raise Retryable(msg)
            for message in messages:
                self._next[Partition(message.topic, message.partition)] = message.offset + 1
                self._enter(message)
                yield message

    def _enter(self, message: Message) -> None:
        if message.value is None:
            self._runs.pop((message.key or b"").decode(errors="replace"), None)
        elif run := _experiment(message.value):
            self._runs[run.run_id] = run


def update_run(
    broker: Broker,
    run_id: str,
    change: Callable[[Experiment], Experiment],
    *,
    clock: Callable[[], int],
    topic_prefix: str = "",
) -> Experiment | None:
    """Changes the record of a run and returns what it became, durably; None where there is no such run.

    Others may change it at the same moment. Kafka takes both records, so whoever finds somebody else's
    between what it read and what it wrote applies its change to that one.

    Raises:
        InvalidInput: as `change` refuses.
        Retryable: the broker is away for now.
    """
    known = KnownRuns(broker, topic_prefix, clock)
    try:
        known.refresh()
        run = known.get(run_id)
        if run is None:
            return None
        changed = change(run)
        other = run if changed != run else None
        while other is not None:
            changed = change(other)
            written = write_run(broker, changed, clock=clock, topic_prefix=topic_prefix)
            other = known.overwritten(written, run_id)
        return changed
    finally:
        known.close()


def write_run(
    broker: Broker, run: Experiment, *, clock: Callable[[], int], topic_prefix: str = ""
) -> Message:
    """Puts the record of a run on its topic and returns the message, once it is durable.

    Raises:
        Retryable: the broker is away for now.
    """
    written: list[Message] = []
    with broker.producer(linger_ms=0) as producer:
        publisher = Publisher(producer, "system", prefix=topic_prefix, clock=clock)
        publisher.publish(run, on_delivery=written.append)
        publisher.flush(_FLUSH_S)
    return written[0]


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


def _experiment(value: bytes) -> Experiment | None:
    try:
        return decode_as(Experiment, value)
    except SchemaError:
        return None


def _partitions(consumer: Consumer, topic: str, prefix: str) -> list[Partition]:
    try:
        return consumer.partitions(prefix + topic)
    except InvalidInput:
        if topic in _OPTIONAL:
            return []
        raise


def _refuse_uneven(offsets: dict[tuple[str, int], tuple[int, int]]) -> None:
    counts = {source: sum(topic == source for topic, _ in offsets) for source in SOURCES}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{source} {count}" for source, count in counts.items())
        msg = f"joined topics need the same number of partitions, but have: {told}; make them anew"
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
