"""The stream processor on a real broker, killed in the middle: the same windows as the pure join gives."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from stream_processor import Pipeline, expected
from synthetic import Sent, Story, messages

from microservo.adapters.kafka import KafkaBroker
from microservo.domain.joined_topics import SOURCES
from microservo.testing import eventually
from schemas import catalogue
from schemas.codec import decode_as, encode
from schemas.records import MetricBatch
from streams.settings import StreamsSettings

pytestmark = pytest.mark.integration

STORY = Story(seconds=30)
PARTITIONS = 3


@pytest.fixture
def pipeline(kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Pipeline:
    return Pipeline(kafka_broker, topic_prefix, tmp_path, partitions=PARTITIONS)


@pytest.mark.parametrize("workers", [1, 2])
def test_windows_equal_the_pure_join_though_workers_are_killed(pipeline: Pipeline, workers: int) -> None:
    sent = messages(STORY, partitions=PARTITIONS)
    truth = expected(STORY, PARTITIONS)
    third = len(sent) // 3
    pipeline.begin(STORY)
    with pipeline.heartbeats(), pipeline.workers(workers) as supervisor:
        for number, part in enumerate((sent[:third], sent[third : 2 * third])):
            before = len(pipeline.windows())
            pipeline.send(part)
            eventually(partial(pipeline.has_more_than, before), timeout_s=120, interval_s=0.3, what="windows")
            pid = supervisor.pids()[f"streams-{number % workers}"]
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        pipeline.send(sent[2 * third :])
        eventually(
            partial(pipeline.has_more_than, len(truth) - 1),
            timeout_s=240,
            interval_s=0.5,
            what="every window",
        )
    assert pipeline.windows() == truth


def test_a_group_has_a_commit_to_go_back_to_before_it_reads_anything(pipeline: Pipeline) -> None:
    joined = [(pipeline.prefix + source, index) for source in SOURCES for index in range(PARTITIONS)]
    with pipeline.workers():
        eventually(
            lambda: committed(pipeline) == dict.fromkeys(joined, 0), timeout_s=60, what="a commit of each"
        )


def test_what_can_not_be_read_is_a_dead_letter_and_the_rest_flows_on(pipeline: Pipeline) -> None:
    sent = messages(STORY, partitions=PARTITIONS)
    oversized = b"\0\0\0\0\6" + b"\xff" * 3_000_000
    metrics = next(s.value for s in sent if s.value and s.topic == catalogue.TELEMETRY_METRICS)
    bad = [
        (catalogue.TELEMETRY_METRICS, b"no avro at all", "names no known schema"),
        (catalogue.TELEMETRY_METRICS, from_the_future(sent), "before 1970 or beyond"),
        (catalogue.TELEMETRY_LOGS, oversized, "body does not follow"),
        (catalogue.TELEMETRY_LOGS, metrics[:-4], "body does not follow"),
        (catalogue.TELEMETRY_TRACES, metrics, "expected a SpanBatch"),
    ]
    middle = len(sent) // 2
    heads = {topic: next(s for s in sent[middle::-1] if s.topic == topic) for topic, _, _ in bad}
    wrong = [
        Sent(
            topic=topic,
            partition=heads[topic].partition,
            key=b"cart",
            value=value,
            headers=heads[topic].headers,
        )
        for topic, value, _ in bad
    ]
    unstamped = Sent(topic=catalogue.SERVICE_FAULTS, partition=0, key=b"cart", value=b"\0", headers=())
    pipeline.begin(STORY)
    pipeline.send([*sent[: middle + 1], *wrong, unstamped, *sent[middle + 1 :]])
    truth = expected(STORY, PARTITIONS)
    with pipeline.heartbeats(), pipeline.workers():
        eventually(
            partial(pipeline.has_more_than, len(truth) - 1),
            timeout_s=240,
            interval_s=0.5,
            what="every window",
        )
    assert pipeline.windows() == truth
    letters = {
        (letter.topic.removeprefix(pipeline.prefix), letter.value): (
            letter.header("dlq_reason") or b""
        ).decode()
        for letter in pipeline.read(*(name + catalogue.DEAD_LETTER_SUFFIX for name in SOURCES))
    }
    assert len(letters) == len(bad) + 1
    for topic, value, reason in bad:
        assert reason in letters[topic + catalogue.DEAD_LETTER_SUFFIX, value]
    assert "no stamp" in letters["service-faults-dlq", unstamped.value]


def from_the_future(sent: list[Sent]) -> bytes:
    """A batch whose records are dated a day after all others."""
    batch = next(
        decode_as(MetricBatch, one.value)
        for one in sent
        if one.topic == catalogue.TELEMETRY_METRICS and one.value
    )
    later = np.frombuffer(batch.time_us, "<i8") + 86_400_000_000
    return encode(replace(batch, time_us=later.tobytes()))


def committed(pipeline: Pipeline) -> dict[tuple[str, int], int]:
    """What the group of the workers has committed, by topic and partition."""
    group = pipeline.prefix + StreamsSettings.model_fields["streams_group"].default
    admin = AdminClient({"bootstrap.servers": pipeline.broker.settings.bootstrap_servers})
    [future] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    try:
        offsets = future.result()
    except KafkaException as exc:
        # The first question about a group may find its coordinator still at reading.
        if exc.args[0].code() != KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
            raise
        return {}
    return {(each.topic, each.partition): each.offset for each in offsets.topic_partitions}
