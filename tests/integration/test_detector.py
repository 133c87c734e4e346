"""The detector as a process on a real broker: scores, a kill in the middle, an orderly end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from microservo.adapters.broker import Broker, Producer, TopicSpec
from microservo.domain.detectors import make_detector
from microservo.testing import eventually
from schemas.catalogue import ANOMALY_SCORES, FEATURE_WINDOWS
from schemas.codec import decode_as, encode
from schemas.records import AnomalyScore, FeatureWindow

pytestmark = pytest.mark.integration

Start = Callable[[], AbstractContextManager["subprocess.Popen[bytes]"]]
SERVICES = ("ad", "cart", "checkout")
SIZE_US = 5_000_000
WINDOWS = 40


def window(service: str, index: int) -> FeatureWindow:
    return FeatureWindow(
        run_id="run-1",
        service=service,
        start_us=index * SIZE_US,
        end_us=(index + 1) * SIZE_US,
        revision=0,
        names=("cpu", "p99"),
        values=(0.5 + index % 3 / 10, 20.0 + index % 7 + len(service)),
    )


def expected() -> dict[tuple[str, int], str]:
    out = {}
    for service in SERVICES:
        detector = make_detector("n-sigma", service=service)
        for index in range(WINDOWS):
            one = window(service, index)
            x = dict(zip(one.names, one.values, strict=True))
            out[service, one.start_us] = repr(detector.score_one(x))
            detector.learn_one(x)
    return out


@pytest.fixture
def topics(kafka_broker: Broker, topic_prefix: str) -> str:
    names = (FEATURE_WINDOWS, ANOMALY_SCORES, f"{FEATURE_WINDOWS}-dlq")
    specs = [TopicSpec(name=topic_prefix + name, partitions=4, config={}) for name in names]
    kafka_broker.admin().ensure_topics(specs)
    return topic_prefix


@pytest.fixture
def start(kafka_bootstrap_servers: str, topics: str, tmp_path: Path) -> Start:
    environment = {
        **os.environ,
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": topics,
        "MICROSERVO_RUN_ID": "run-1",
    }

    @contextmanager
    def running() -> Iterator[subprocess.Popen[bytes]]:
        argv = [sys.executable, "-m", "services.detector"]
        with (tmp_path / "detector.log").open("ab") as log:
            process = subprocess.Popen(argv, env=environment, stderr=log, stdout=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return running


def publish(producer: Producer, prefix: str, indexes: range) -> None:
    for index in indexes:
        for service in SERVICES:
            value = encode(window(service, index))
            producer.send(
                prefix + FEATURE_WINDOWS, key=service.encode(), value=value, headers=(("run", b"run-1"),)
            )
    producer.flush(60)


def collect(broker: Broker, prefix: str, count: int) -> list[AnomalyScore]:
    """All scores, once there is one for each of so many windows."""
    scores: list[AnomalyScore] = []
    with broker.consumer(group_id=None) as consumer:
        consumer.assign(dict.fromkeys(consumer.partitions(prefix + ANOMALY_SCORES), 0))

        def enough() -> bool:
            messages = consumer.consume(1000, 0.2)
            scores.extend(decode_as(AnomalyScore, message.value or b"") for message in messages)
            return len({(score.service, score.start_us) for score in scores}) >= count

        eventually(enough, timeout_s=120, what=f"{count} scored windows")
    return scores


def test_a_kill_in_the_middle_loses_no_score_and_changes_none(
    kafka_broker: Broker, topics: str, start: Start
) -> None:
    with kafka_broker.producer() as producer:
        publish(producer, topics, range(15))
        with start() as process:
            collect(kafka_broker, topics, 15 * len(SERVICES))
            publish(producer, topics, range(15, 25))
            process.kill()
            process.wait()
        publish(producer, topics, range(25, WINDOWS))
        with start() as process:
            scores = collect(kafka_broker, topics, WINDOWS * len(SERVICES))
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert {(score.service, score.start_us, repr(score.score)) for score in scores} == {
        (*key, score) for key, score in expected().items()
    }
    assert all(score.latency_us >= 0 for score in scores)
