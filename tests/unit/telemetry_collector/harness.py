"""A collector on a broker in memory, for its tests."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from microservo.adapters.broker import Message
from microservo.runtime.shutdown import Shutdown
from microservo.sources.otlp.source import OtlpSource
from microservo.testing import ManualClock, MemoryBroker
from services.telemetry_collector.service import Collector

PREFIX = "t-"
PARTITIONS = 3
PATIENCE_S = 120


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Running:
    """A collector on a broker in memory, and a sender to it."""

    def __init__(
        self,
        collector: Collector,
        otlp: OtlpSource,
        broker: MemoryBroker,
        shutdown: Shutdown,
        clock: ManualClock,
    ) -> None:
        self.collector = collector
        self.port = otlp.port
        self.grpc_port = otlp.grpc_port
        self.broker = broker
        self.shutdown = shutdown
        self.clock = clock

    def send(
        self,
        path: str,
        body: bytes,
        content_type: str | None = "application/x-protobuf",
        *,
        encoding: str | None = None,
        method: str = "POST",
    ) -> Answer:
        headers = {"Content-Type": content_type, "Content-Encoding": encoding}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            given = {name: value for name, value in headers.items() if value is not None}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def messages(self, topic: str) -> list[Message]:
        return messages(self.broker, PREFIX + topic)


def messages(broker: MemoryBroker, topic: str) -> list[Message]:
    """All of a topic, heartbeats too, partition by partition."""
    found: list[Message] = []
    with broker.consumer(group_id=None) as consumer:
        for partition in consumer.partitions(topic):
            first, end = consumer.offset_range(partition)
            consumer.assign({partition: first})
            while first < end:
                batch = consumer.consume(end - first, 1.0)
                found += batch
                first += len(batch)
    return found


Start = Callable[..., AbstractContextManager[Running]]
