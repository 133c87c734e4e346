"""A real Apache Kafka of our own: one KRaft node, for a machine that has neither Docker nor Java."""

from __future__ import annotations

from microservo.adapters.kafka.embedded.broker import EmbeddedBroker
from microservo.adapters.kafka.embedded.download import Progress, default_cache_dir, jars
from microservo.adapters.kafka.embedded.process import BrokerProcess, running_broker

__all__ = ["BrokerProcess", "EmbeddedBroker", "Progress", "default_cache_dir", "jars", "running_broker"]
