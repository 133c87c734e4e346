"""The records of runs on `experiments`: followed as they change, changed by several, written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.domain.campaigns.choice import CampaignFault
from microservo.errors import Retryable
from microservo.log.publisher import Publisher
from microservo.log.reader import positions
from schemas import catalogue
from schemas.codec import SchemaError, decode_as
from schemas.records import Experiment, PlannedFault

_BATCH = 1000
_FLUSH_S = 30.0
_ROUND_S = 0.2
_SILENT_ROUNDS = 25


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

    def running(self) -> list[Experiment]:
        """The runs that go on by their records, in no order."""
        return [run for run in self._runs.values() if run.status == "running"]

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
        """Applies and returns the messages up to these ends."""
        # Not by `read_ranges`, which assigns its ranges anew and so loses the fetch under way: windows wait
        # for each refresh. This consumer stays assigned.
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
    process: str,
    clock: Callable[[], int],
    topic_prefix: str = "",
) -> Experiment | None:
    """Changes the record of a run and returns what it became, durably; None where there is no such run.

    Others may change it at the same moment. Kafka takes both records, so one that finds another's
    between what it read and what it wrote applies its change to that one.

    Args:
        broker: where the run is.
        run_id: the run.
        change: gives the record as it shall be; asked again where others changed it meanwhile.
        process: who changes it, as the contract names it.
        clock: epoch microseconds UTC.
        topic_prefix: put before every topic name.

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
        is_kept = changed == run
        while not is_kept:
            written = write_run(broker, changed, process=process, clock=clock, topic_prefix=topic_prefix)
            other = known.overwritten(written, run_id)
            is_kept = other is None
            changed = changed if other is None else change(other)
        return changed
    finally:
        known.close()


def declare_plan(
    broker: Broker,
    run_id: str,
    faults: Iterable[CampaignFault],
    *,
    process: str,
    clock: Callable[[], int],
    topic_prefix: str = "",
) -> None:
    """Writes into the record of a run which faults are to be injected, behind those that it has already.

    Raises:
        Retryable: the broker is away for now.
    """
    planned = tuple(PlannedFault(**asdict(fault)) for fault in faults)
    update_run(
        broker,
        run_id,
        lambda run: replace(run, plan=(*run.plan, *planned)),
        process=process,
        clock=clock,
        topic_prefix=topic_prefix,
    )


def write_run(
    broker: Broker, run: Experiment, *, process: str, clock: Callable[[], int], topic_prefix: str = ""
) -> Message:
    """Puts the record of a run on its topic and returns the message, once it is durable.

    Args:
        broker: where the run is.
        run: its record.
        process: who writes it, as the contract names it.
        clock: epoch microseconds UTC.
        topic_prefix: put before every topic name.

    Raises:
        Retryable: the broker is away for now.
    """
    written: list[Message] = []
    with broker.producer(linger_ms=0) as producer:
        publisher = Publisher(producer, process, prefix=topic_prefix, clock=clock)
        publisher.publish(run, on_delivery=written.append)
        publisher.flush(_FLUSH_S)
    return written[0]


def _experiment(value: bytes) -> Experiment | None:
    try:
        return decode_as(Experiment, value)
    except SchemaError:
        return None
