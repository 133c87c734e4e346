"""The stream processor on a real broker, killed in the middle: the same windows as the pure join gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from synthetic import Sent, Story, messages

from microservo.adapters.broker import Message, TopicSpec
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.domain.join import take
from microservo.domain.windows import SOURCES, Windower, WindowPolicy
from microservo.testing import eventually
from schemas import catalogue
from schemas.codec import encode

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
        self._log = (logs / "streams.log").open("ab")
        self._env = os.environ | {
            "MICROSERVO_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": prefix,
            "MICROSERVO_CHECKPOINT_S": "0.2",
        }
        names = [topic.name for topic in catalogue.catalogue().values() if topic.joined]
        names += [name + catalogue.DEAD_LETTER_SUFFIX for name in SOURCES]
        broker.admin().ensure_topics(
            [TopicSpec(name=prefix + name, partitions=PARTITIONS, config={}) for name in names]
        )

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
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams"], env=self._env, stdout=self._log, stderr=self._log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

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

    def close(self) -> None:
        self._log.close()


@pytest.fixture
def pipeline(
    kafka_broker: KafkaBroker, kafka_settings: KafkaSettings, topic_prefix: str, tmp_path: Path
) -> Iterator[Pipeline]:
    pipeline = Pipeline(kafka_broker, kafka_settings, topic_prefix, tmp_path)
    yield pipeline
    pipeline.close()


def test_windows_equal_the_pure_join_though_the_worker_is_killed(pipeline: Pipeline) -> None:
    sent = messages(STORY, partitions=PARTITIONS)
    truth = expected(sent)
    thirds = [sent[: len(sent) // 3], sent[len(sent) // 3 : 2 * len(sent) // 3], sent[2 * len(sent) // 3 :]]
    before = 0
    for third in thirds[:2]:
        pipeline.send(third)
        with pipeline.worker() as worker:
            grown = eventually(
                lambda least=before: (now := len(pipeline.windows())) > least and now,  # type: ignore[misc]
                timeout_s=90,
                interval_s=0.3,
                what="more windows",
            )
            before = int(grown)
            worker.send_signal(signal.SIGKILL)
    pipeline.send(thirds[2])
    with pipeline.worker() as worker:
        eventually(
            lambda: len(pipeline.windows()) >= len(truth), timeout_s=90, interval_s=0.5, what="every window"
        )
        worker.terminate()
        assert worker.wait(20) == 0
    assert pipeline.windows() == truth


def test_windows_equal_the_pure_join_though_one_of_two_workers_is_killed(pipeline: Pipeline) -> None:
    sent = messages(STORY, partitions=PARTITIONS)
    truth = expected(sent)
    half = len(sent) // 2
    pipeline.send(sent[:half])
    with pipeline.worker() as first, pipeline.worker() as second:
        eventually(pipeline.windows, timeout_s=90, interval_s=0.3, what="windows")
        first.send_signal(signal.SIGKILL)
        pipeline.send(sent[half:])
        eventually(
            lambda: len(pipeline.windows()) >= len(truth), timeout_s=90, interval_s=0.5, what="every window"
        )
        assert second.poll() is None
    assert pipeline.windows() == truth


def test_what_can_not_be_read_is_a_dead_letter_and_the_rest_flows_on(pipeline: Pipeline) -> None:
    sent = messages(STORY, partitions=PARTITIONS)
    bad = [
        (catalogue.TELEMETRY_METRICS, b"no avro at all", "names no known schema"),
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
    with pipeline.worker():
        eventually(
            lambda: len(pipeline.windows()) >= len(truth), timeout_s=90, interval_s=0.5, what="every window"
        )
    assert pipeline.windows() == truth
    letters = {
        letter.topic.removeprefix(pipeline.prefix): letter
        for letter in pipeline.read(*(name + catalogue.DEAD_LETTER_SUFFIX for name in SOURCES))
    }
    assert len(letters) == 4
    for topic, value, reason in bad:
        letter = letters[topic + catalogue.DEAD_LETTER_SUFFIX]
        assert letter.value == value
        assert reason in (letter.header("dlq_reason") or b"").decode()
    assert b"no stamp" in (letters["service-faults-dlq"].header("dlq_reason") or b"")
