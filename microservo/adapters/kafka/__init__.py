"""Kafka behind the interfaces of `microservo.adapters.broker`."""

from __future__ import annotations

from microservo.adapters.kafka.broker import KafkaBroker
from microservo.adapters.kafka.options import KafkaSettings

__all__ = ["KafkaBroker", "KafkaSettings"]
