"""Brokers for the whole suite."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from kubernetes_cluster import Cluster, shared_cluster

from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker

# How long an example takes is up to the machine. Which ones are tried is not: what passes once passes again.
settings.register_profile(
    "any-machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
# `make hunt` looks for examples that nobody has seen.
settings.register_profile(
    "hunt", settings.get_profile("any-machine"), derandomize=False, max_examples=2000, print_blob=True
)
settings.load_profile(os.environ.get("MICROSERVO_TEST_EXAMPLES", "any-machine"))


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MICROSERVO_TEST_BOOTSTRAP_SERVERS, or an embedded broker that lives as long as the session."""
    if own := os.environ.get("MICROSERVO_TEST_BOOTSTRAP_SERVERS"):
        yield own
    else:
        with running_broker(tmp_path_factory.mktemp("kafka")) as process:
            yield process.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_settings(kafka_bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka_bootstrap_servers)


@pytest.fixture(scope="session")
def kafka_broker(kafka_settings: KafkaSettings) -> KafkaBroker:
    """One real broker for the whole session; take names from `topic_prefix`."""
    return KafkaBroker(kafka_settings)


@pytest.fixture(scope="session")
def kubernetes_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real API server with Chaos Mesh's kinds of objects, one for all; take namespaces of your own."""
    own = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    with shared_cluster(own.parent if is_worker else own) as cluster:
        yield cluster


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic and group names that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}-"
