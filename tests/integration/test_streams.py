"""The stream processor on a real broker, killed in the middle: the same windows as the pure join gives."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from synthetic import Sent, Story, messages

from microservo.adapters.broker import Message
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.topics import topic_specs
from microservo.domain.join import take
from microservo.domain.windows import SOURCES, Windower, WindowPolicy
from microservo.runtime.supervisor import ProcessSpec, Supervisor
from microservo.testing import eventually
from schemas import catalogue
from schemas.codec import decode_as, encode
from schemas.records import MetricBatch

pytestmark = pytest.mark.integration

STORY = Story(seconds=30)
PARTITIONS = 3
WINDOW_TOPICS = (catalogue.LABELLED_WINDOWS, catalogue.FEATURE_WINDOWS)

Key = tuple[str, bytes, bytes]


def expected(sent: list[Sent]) -> dict[Key, bytes]:
    """What the pure join says, by topic, service and window/revision."""
    windowers = [Windower(WindowPolicy()) for _ in range(PARTITIONS)]
    found: dict[Key, bytes] = {}
    for message in sent:
        windower = windowers[message.partition]
        take(windower, message.topic, message.value, message.headers)
        for closed in windower.close():
            at = (closed.service.encode(), b"%d/%d" % (closed.start_us, closed.revision))
            found[catalogue.LABELLED_WINDOWS, *at] = encode(closed.labelled_window())
            if closed.features_changed:
                found[catalogue.FEATURE_WINDOWS, *at] = encode(closed.feature_window())
    return found


class Pipeline:
    """The topics of one test, and a stream processor on them."""

    def __init__(self, broker: KafkaBroker, settings: KafkaSettings, prefix: str, logs: Path) -> None:
        self.broker, self.prefix = broker, prefix
        self._log = logs / "streams.log"
        self._env = os.environ | {
            "MICROSERVO_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": prefix,
            "MICROSERVO_CHECKPOINT_S": "0.2",
            "MICROSERVO_SILENCE_S": "8",
        }
        broker.admin().ensure_topics(topic_specs(prefix=prefix, partitions=PARTITIONS))

    def send(self, sent: list[Sent]) -> None:
        with self.broker.producer() as producer:
            for one in sent:
                producer.send(
                    self.prefix + one.topic,
                    key=one.key,
                    value=one.value,
                    headers=one.headers,
                    partition=one.partition,
                )
            producer.flush(30)

    @contextmanager
    def workers(self, count: int = 1) -> Iterator[Supervisor]:
        """Workers under supervision, as they always run: one that stops itself is started anew."""
        with Supervisor() as supervisor:
            for number in range(count):
                supervisor.start(
                    ProcessSpec(
                        name=f"streams-{number}",
                        argv=(sys.executable, "-m", "streams"),
                        env=self._env,
                        log=self._log,
                    )
                )
            yield supervisor

    def read(self, *topics: str) -> list[Message]:
        """Everything on the topics so far."""
        with self.broker.consumer(group_id=None) as consumer:
            partitions = [at for topic in topics for at in consumer.partitions(self.prefix + topic)]
            ranges = {at: consumer.offset_range(at) for at in partitions}
            consumer.assign({at: first for at, (first, _) in ranges.items()})
            left = sum(end - first for first, end in ranges.values())
            found: list[Message] = []
            while len(found) < left:
                found += consumer.consume(1000, 5)
            return found

    def windows(self) -> dict[Key, bytes]:
        """All revisions on the window topics; a repeated one must have the same bytes."""
        found: dict[Key, bytes] = {}
        for message in self.read(*WINDOW_TOPICS):
            key = (
                message.topic.removeprefix(self.prefix),
                message.key or b"",
                message.header("window") or b"",
            )
            assert found.setdefault(key, message.value or b"") == message.value
        return found

    def has_more_than(self, count: int) -> bool:
        return len(self.windows()) > count


@pytest.fixture
def pipeline(
    kafka_broker: KafkaBroker, kafka_settings: KafkaSettings, topic_prefix: str, tmp_path: Path
) -> Pipeline:
    return Pipeline(kafka_broker, kafka_settings, topic_prefix, tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_windows_equal_the_pure_join_though_workers_are_killed(pipeline: Pipeline, workers: int) -> None:
    sent = messages(STORY, partitions=PARTITIONS)
    truth = expected(sent)
    third = len(sent) // 3
    with pipeline.workers(workers) as supervisor:
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
            timeout_s=180,
            interval_s=0.5,
            what="every window",
        )
    assert pipeline.windows() == truth


def test_what_can_not_be_read_is_a_dead_letter_and_the_rest_flows_on(pipeline: Pipeline) -> None:
    sent = messages(STORY, partitions=PARTITIONS)
    oversized = b"\0\0\0\0\6" + b"\xff" * 3_000_000
    bad = [
        (catalogue.TELEMETRY_METRICS, b"no avro at all", "names no known schema"),
        (catalogue.TELEMETRY_METRICS, from_the_future(sent), "before 1970 or beyond"),
        (catalogue.TELEMETRY_LOGS, oversized, "body does not follow"),
        (catalogue.TELEMETRY_LOGS, sent[0].value[:-4] if sent[0].value else b"", "body does not follow"),
        (catalogue.TELEMETRY_TRACES, next(s.value for s in sent if s.value), "expected a SpanBatch"),
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
    pipeline.send([*sent[: middle + 1], *wrong, unstamped, *sent[middle + 1 :]])
    truth = expected(sent)
    with pipeline.workers():
        eventually(
            partial(pipeline.has_more_than, len(truth) - 1),
            timeout_s=180,
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
