"""Whether a broker answers: librdkafka itself would only log that none does."""

from __future__ import annotations

from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin._metadata import ClusterMetadata

from microservo.adapters.kafka.options import KafkaSettings
from microservo.errors import Unavailable


class _Client(Protocol):
    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata: ...


def verify(client: _Client, settings: KafkaSettings, timeout_s: float | None = None) -> ClusterMetadata:
    """The cluster as the broker describes it.

    Raises:
        Unavailable: no broker answered within `timeout_s`, or the settings' connect timeout.
    """
    timeout_s = settings.connect_timeout_s if timeout_s is None else timeout_s
    try:
        return client.list_topics(timeout=timeout_s)
    except KafkaException as exc:
        msg = (
            f"no Kafka broker answered at {settings.bootstrap_servers} within {timeout_s:g} s "
            f"({exc.args[0].str()}, {settings.security_protocol}); "
            "start the embedded one with `microservo up`, or set MICROSERVO_BOOTSTRAP_SERVERS to your own"
        )
        raise Unavailable(msg) from exc
