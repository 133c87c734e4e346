from __future__ import annotations

from dataclasses import replace

import pytest

from microservo.application.algorithms import name_of_spec
from microservo.client import Client
from microservo.log.publisher import Publisher
from microservo.log.reader import read_topic
from microservo.testing import MemoryBroker
from schemas.catalogue import ANOMALY_SCORES
from schemas.codec import decode_as
from schemas.examples import example_bytes
from schemas.records import AlgorithmState, AnomalyScore

STATE = decode_as(AlgorithmState, example_bytes()["algorithm_state", 1]["running"])
SCORE = decode_as(AnomalyScore, next(iter(example_bytes()["anomaly_score", 2].values())))


def broker_with_topics() -> tuple[MemoryBroker, Client]:
    broker = MemoryBroker()
    client = Client(broker=broker)
    client.topics.ensure(partitions=1)
    return broker, client


def say(broker: MemoryBroker, name: str, version: int) -> None:
    """What a host or the runner says of a version."""
    state = replace(STATE, deployment_id=f"{name}@{version}", algorithm=name, algorithm_version=version)
    with broker.producer() as producer:
        publisher = Publisher(producer, "algorithm_runner", prefix="", clock=lambda: 0)
        publisher.publish(state)
        publisher.flush(5)


def test_versions_of_a_name_grow_with_each_deployment() -> None:
    _, client = broker_with_topics()
    assert [client.algorithms.deploy("n-sigma").version for _ in range(3)] == [1, 2, 3]


def test_what_was_removed_and_comes_back_has_a_version_that_nothing_was_said_under() -> None:
    broker, client = broker_with_topics()
    client.algorithms.deploy("n-sigma")
    client.algorithms.deploy("n-sigma")
    say(broker, "n-sigma", 2)
    say(broker, "other", 9)
    client.algorithms.remove("n-sigma")
    assert client.algorithms.deploy("random", name="n-sigma").version == 3


def test_the_score_of_another_version_is_another_event() -> None:
    broker, _ = broker_with_topics()
    first, second = (replace(SCORE, algorithm_version=version) for version in (1, 2))
    with broker.producer() as producer:
        publisher = Publisher(producer, "algorithm_host", prefix="", clock=lambda: 0)
        for each in (first, second, second):
            publisher.publish(each)
        publisher.flush(5)
    ids = [message.header("ce_id") for message in read_topic(broker, ANOMALY_SCORES)]
    assert ids[0] != ids[1] == ids[2]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("dist/my_detector-1.2.0-py3-none-any.whl", "my-detector"),
        ("./my-detector.zip", "my-detector"),
        ("river.anomaly:HalfSpaceTrees", "half-space-trees"),
        ("/code/mine.py:Best", "best"),
        ("mine/", "mine"),
    ],
)
def test_a_name_is_made_of_what_a_spec_points_at(spec: str, name: str) -> None:
    assert name_of_spec(spec) == name
