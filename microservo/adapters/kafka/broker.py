"""A real Kafka, as the place to get clients from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microservo.adapters.kafka.admin import KafkaAdmin
from microservo.adapters.kafka.consumer import KafkaConsumer
from microservo.adapters.kafka.options import Start
from microservo.adapters.kafka.producer import KafkaProducer

if TYPE_CHECKING:
    from microservo.adapters.kafka.settings import KafkaSettings


class KafkaBroker:
    """`Broker` on a real Kafka. Consumers and producers are made only where a broker answers."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._access = settings.access

    @property
    def settings(self) -> KafkaSettings:
        """How it is reached."""
        return self._settings

    def consumer(self, *, group_id: str | None, start: Start = "earliest") -> KafkaConsumer:
        return KafkaConsumer(self._access, group_id=group_id, start=start)

    def producer(self, *, linger_ms: int = 5) -> KafkaProducer:
        return KafkaProducer(self._access, linger_ms=linger_ms)

    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(self._access)
