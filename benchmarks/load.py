"""Puts the stream on a broker, both ways."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.stream import RUN_ID, US, Plan, Sent, as_json, messages
from microservo.adapters.broker import Broker, Producer, TopicSpec
from microservo.domain.joined_topics import WAITED_FOR
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import Retryable
from microservo.log.stamped import StampedWriter
from microservo.testing import ManualClock
from schemas.catalogue import DEAD_LETTER_SUFFIX, EXPERIMENTS, catalogue
from schemas.codec import encode
from schemas.records import Experiment, ServiceFault

T = TypeVar("T")
JSON_TOPIC = "bench-json"
PARTITIONS = 4
_TIMEOUT_S = 30
_SILENCE_S = 40
"""Heartbeats after the last record, so that its window becomes final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What lies on the broker."""

    records: int
    messages: int
    heartbeats: int
    json_records: int
    json_bytes: int


def create_topics(broker: Broker) -> None:
    """Every topic of the contract with its dead letters, and one for the JSON records."""
    specs = [
        TopicSpec(name=topic.name + suffix, partitions=PARTITIONS, config=topic.config)
        for topic in catalogue().values()
        for suffix in (("", DEAD_LETTER_SUFFIX) if topic.dead_letters else ("",))
    ]
    specs.append(TopicSpec(name=JSON_TOPIC, partitions=PARTITIONS, config={}))
    broker.admin().ensure_topics(specs)


def load(broker: Broker, plan: Plan, *, json_records: int) -> Loaded:
    """Writes the whole stream packed, and its first `json_records` records as JSON too."""
    clock = ManualClock(plan.start_us)
    writers = {topic: _writer(broker, topic, clock) for topic in WAITED_FOR}
    total = count = as_json_count = json_bytes = 0
    with broker.producer(linger_ms=50) as producer:
        for sent in messages(plan):
            _until(clock, sent.at_us, writers)
            _send(writers[sent.topic], sent)
            total += sent.records
            count += 1
            if as_json_count < json_records and not isinstance(sent.record, ServiceFault):
                for time_us, value in as_json(sent.record):
                    _offer(producer, sent.service.encode(), value, time_us)
                    as_json_count += 1
                    json_bytes += len(value)
        producer.flush(60)
    _until(clock, clock() + _SILENCE_S * US, writers)
    for writer in writers.values():
        writer.close()
    _write_run(broker, plan)
    on_log = _stored(broker)
    return Loaded(
        records=total,
        messages=on_log,
        heartbeats=on_log - count,
        json_records=as_json_count,
        json_bytes=json_bytes,
    )


def _writer(broker: Broker, topic: str, clock: ManualClock) -> StampedWriter:
    def make() -> StampedWriter:
        return StampedWriter(
            broker,
            topic,
            writer="bench",
            run_id=lambda: RUN_ID,
            clock=clock,
            source="benchmarks",
            linger_ms=50,
        )

    return _retried(make)


def _until(clock: ManualClock, at_us: int, writers: dict[str, StampedWriter]) -> None:
    """Lets event time pass, with the heartbeats that fall due on the way."""
    while clock() < at_us:
        clock.advance(min(250_000, at_us - clock()))
        for writer in writers.values():
            _retried(writer.tick)


def _send(writer: StampedWriter, sent: Sent) -> None:
    value = encode(sent.record)
    _retried(lambda: writer.send(sent.service.encode(), value, sent.records))


def _offer(producer: Producer, key: bytes, value: bytes, time_us: int) -> None:
    _retried(lambda: producer.send(JSON_TOPIC, key=key, value=value, timestamp_us=time_us))


def _retried(act: Callable[[], T]) -> T:
    """What `act` returns once the broker accepts it: a full queue empties, a new topic gets its leader."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return act()
        except Retryable:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


def _write_run(broker: Broker, plan: Plan) -> None:
    """The run as finished, which is what a rebuild asks for."""
    policy = WindowPolicy()
    run = Experiment(
        run_id=RUN_ID,
        status="finished",
        seed=plan.seed,
        target="benchmark",
        started_at_us=plan.start_us,
        finished_at_us=plan.start_us + plan.seconds * US,
        window_us=policy.size_us,
        first_cut_us=policy.first_cut_us,
        final_cut_us=policy.final_cut_us,
        start_offsets={},
        end_offsets={},
        versions={},
    )
    with broker.producer() as producer:
        producer.send(EXPERIMENTS, key=RUN_ID.encode(), value=encode(run))
        producer.flush(30)


def _stored(broker: Broker) -> int:
    with broker.consumer(group_id=None) as consumer:
        ranges = [consumer.offset_range(each) for topic in WAITED_FOR for each in consumer.partitions(topic)]
    return sum(end - first for first, end in ranges)
