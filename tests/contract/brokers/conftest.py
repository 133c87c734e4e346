"""What every broker keeps to: the same sentences on the one in memory and on a real Kafka."""

from __future__ import annotations

import pytest
from broker_acts import (
    create,
)

from microservo.adapters.broker import Broker
from microservo.testing import MemoryBroker


@pytest.fixture(
    params=["memory", pytest.param("kafka", marks=pytest.mark.integration)],
)
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        return MemoryBroker()
    found: Broker = request.getfixturevalue("kafka_broker")
    return found


@pytest.fixture
def topic(broker: Broker, topic_prefix: str) -> str:
    """A topic of three partitions."""
    return create(broker, f"{topic_prefix}orders", partitions=3)
