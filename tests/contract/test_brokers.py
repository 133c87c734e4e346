"""The broker in memory and a real Kafka keep to the same checks."""

from __future__ import annotations

import pytest

from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker
from microservo.testing import MemoryBroker
from microservo.testing.brokers import CHECKS
from microservo.testing.checks import Check


def name(check: Check) -> str:
    return check.__name__


@pytest.mark.parametrize("check", CHECKS, ids=name)
def test_in_memory(check: Check, topic_prefix: str) -> None:
    broker: Broker = MemoryBroker()
    check(broker, topic_prefix)


@pytest.mark.integration
@pytest.mark.parametrize("check", CHECKS, ids=name)
def test_on_kafka(check: Check, kafka_broker: KafkaBroker, topic_prefix: str) -> None:
    check(kafka_broker, topic_prefix)
