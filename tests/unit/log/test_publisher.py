"""Whoever publishes has a record, and the contract says the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservo.adapters.broker import Message, Producer
from microservo.errors import InvalidInput, Retryable
from microservo.log.publisher import Publisher
from microservo.log.reader import read_topic
from microservo.log.stamped import StampedWriter
from microservo.log.topics import topic_specs
from microservo.testing import ManualClock, MemoryBroker
from schemas import catalogue
from schemas.codec import SchemaError, decode, encode
from schemas.envelope import Stamp
from schemas.examples import examples
from schemas.files import newest_schemas
from schemas.records import AnomalyScore, Experiment, MetricBatch

PREFIX = "lab-"
NOON_US = 1_769_860_800_000_000
NEWEST: dict[str, Any] = {
    name: next(iter(found.values())) for (name, _), found in sorted(examples().items()) if found
}


class Lab:
    """A broker with every topic, and publishers on it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.admin().ensure_topics(topic_specs(prefix=PREFIX, partitions=3))
        self.clock = ManualClock(NOON_US)

    def publisher(self, process: str, producer: Producer | None = None) -> Publisher:
        joined = [
            topic for topic in catalogue.catalogue().values() if topic.joined and process in topic.producers
        ]
        writers = {
            topic.name: StampedWriter(
                self.broker,
                topic.physical(PREFIX),
                writer=process,
                run_id=lambda: "run-1",
                clock=self.clock,
                source="/test",
            )
            for topic in joined
        }
        return Publisher(
            producer or self.broker.producer(), process, prefix=PREFIX, clock=self.clock, writers=writers
        )

    def messages(self, topic: str) -> list[Message]:
        return list(read_topic(self.broker, PREFIX + topic))


@pytest.fixture
def lab() -> Lab:
    return Lab()


def published() -> list[str]:
    """The newest schemas that a process publishes; some are declared before there is one."""
    return [name for name in newest_schemas() if catalogue.topic_of(name).producers]


@pytest.mark.parametrize("name", published())
def test_every_record_lands_on_its_topic_under_its_key_as_an_event(lab: Lab, name: str) -> None:
    record, topic = NEWEST[name], catalogue.topic_of(name)
    publisher = lab.publisher(topic.producers[0])
    publisher.publish(record)
    publisher.flush(1)
    (message,) = lab.messages(topic.name)
    assert message.key == getattr(record, topic.key).encode()
    assert message.value == encode(record)
    assert message.header("ce_type") == f"microservo.{name}".encode()
    assert message.header("ce_id")
    assert message.header("content-type") == b"application/avro"
    if topic.joined:
        assert Stamp.read(message.headers).writer == topic.producers[0]
    if hasattr(record, "run_id"):
        assert message.header("run") == (b"run-1" if topic.joined else record.run_id.encode())


def test_an_event_is_known_by_its_fields_and_has_its_own_time(lab: Lab) -> None:
    lab.publisher("algorithm_host").publish(NEWEST["anomaly_score"])
    (message,) = lab.messages(catalogue.ANOMALY_SCORES)
    assert message.header("ce_id") == b"run-20260131-120000-ab12/n-sigma/1/cartservice/1769860800000000/0"
    assert message.header("ce_time") == b"2026-01-31T12:00:07.100000+00:00"
    assert message.header("ce_source") == b"/microservo/algorithm-host"


def test_states_that_differ_are_events_that_differ(lab: Lab) -> None:
    run: Experiment = NEWEST["experiment"]
    publisher = lab.publisher("system")
    for each in (run, run, replace(run, writers=())):
        publisher.publish(each)
    ids = [message.header("ce_id") for message in lab.messages(catalogue.EXPERIMENTS)]
    assert ids[0] == ids[1] != ids[2]


def test_a_state_that_is_no_more_is_deleted_and_a_fact_can_not_be(lab: Lab) -> None:
    lab.publisher("system").delete(Experiment, "run-1")
    (message,) = lab.messages(catalogue.EXPERIMENTS)
    assert (message.key, message.value) == (b"run-1", None)
    with pytest.raises(InvalidInput, match="anomaly-scores holds facts"):
        lab.publisher("algorithm_host").delete(AnomalyScore, "cart")


def test_a_batch_counts_its_records_in_the_stamp(lab: Lab) -> None:
    batch: MetricBatch = NEWEST["metric_batch"]
    publisher = lab.publisher("telemetry_collector")
    publisher.publish(batch)
    publisher.publish(batch)
    stamps = [Stamp.read(message.headers) for message in lab.messages(catalogue.TELEMETRY_METRICS)]
    assert [(stamp.sequence, stamp.total) for stamp in stamps] == [(0, 2), (1, 4)]


def test_a_partition_may_be_named_and_a_delivery_is_reported(lab: Lab) -> None:
    reported: list[Message] = []
    lab.publisher("streams").publish(NEWEST["feature_window"], partition=2, on_delivery=reported.append)
    (message,) = lab.messages(catalogue.FEATURE_WINDOWS)
    assert message.partition == 2
    assert [each.offset for each in reported] == [0]


def test_a_process_that_is_no_producer_of_the_topic_is_refused(lab: Lab) -> None:
    with pytest.raises(
        InvalidInput, match=r"algorithm_host is no producer of fault-events; .* has client, fault_injector"
    ):
        lab.publisher("algorithm_host").publish(NEWEST["fault_event"])


def test_a_joined_topic_without_a_stamped_writer_is_refused(lab: Lab) -> None:
    bare = Publisher(lab.broker.producer(), "fault_injector", prefix=PREFIX, clock=lab.clock)
    with pytest.raises(InvalidInput, match=r"service-faults is joined, .* give the publisher a writer"):
        bare.publish(NEWEST["service_fault"])


def test_what_is_no_record_is_refused(lab: Lab) -> None:
    with pytest.raises(SchemaError, match="no record of the contract"):
        lab.publisher("algorithm_host").publish("a score")


def test_what_was_published_is_what_is_read(lab: Lab) -> None:
    lab.publisher("algorithm_host").publish(NEWEST["anomaly_score"])
    (message,) = lab.messages(catalogue.ANOMALY_SCORES)
    assert decode(message.value or b"") == NEWEST["anomaly_score"]


def test_records_of_a_joined_topic_are_durable_though_others_are_under_way(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label does not wait for the states of faults, which nobody else waits for either."""
    producer = lab.broker.producer()
    publisher = lab.publisher("fault_injector", producer)
    monkeypatch.setattr(producer, "flush", _still_under_way)
    publisher.publish(NEWEST["fault_snapshot"])
    publisher.publish(NEWEST["service_fault"])
    publisher.flush(1, catalogue.SERVICE_FAULTS)
    with pytest.raises(Retryable):
        publisher.flush(1)


def _still_under_way(_timeout_s: float) -> None:
    msg = "1 messages were still not durable; flush again"
    raise Retryable(msg)
