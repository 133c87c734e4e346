"""A partition that is without a leader for a moment, as after a broker stood still for some seconds."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from microservo.adapters.broker import Partition
from microservo.adapters.kafka.consumer import KafkaConsumer
from microservo.adapters.kafka.settings import KafkaSettings


class Leaderless:
    """A client whose first questions find no leader."""

    def __init__(self, client: Any, times: int) -> None:
        self._client = client
        self.left = times

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        if self.left:
            self.left -= 1
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        return 0, 4

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_offsets_are_asked_for_again_until_there_is_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody has to answer: what is asked below goes to the client that stands in.
    monkeypatch.setattr("microservo.adapters.kafka.consumer.verify", lambda *_: None)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with KafkaConsumer(settings.access, group_id=None, start="earliest") as consumer:
        client = Leaderless(consumer._client, 2)
        monkeypatch.setattr(consumer, "_client", client)
        assert consumer.offset_range(Partition("a-topic", 0)) == (0, 4)
        assert client.left == 0
