"""A producer to a real Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from microservo.adapters.broker import Headers, Message
from microservo.adapters.kafka.admin import KafkaAdmin
from microservo.adapters.kafka.connection import made, verify
from microservo.adapters.kafka.errors import ErrorLog, is_lasting, translate
from microservo.adapters.kafka.message import to_message
from microservo.adapters.kafka.options import KafkaAccess, producer_options
from microservo.adapters.limits import TopicLimits, delivery_listener_failed
from microservo.adapters.partitioner import partition_of
from microservo.errors import Fatal, InvalidInput, MicroServoError, Retryable, Unavailable

_POLL_S = 0.1
_SHORTEST_FLUSH_S = 0.001


class KafkaProducer:
    """`Producer` on confluent-kafka; a thread of its own takes the delivery reports.

    `send` may be called from several threads. The first message to a topic asks the broker what the topic
    accepts; what it answers is kept.
    """

    def __init__(self, access: KafkaAccess, *, linger_ms: int) -> None:
        self._access = access
        self._limits: dict[str, TopicLimits] = {}
        self._failure: MicroServoError | None = None
        self._closed = threading.Event()
        self._log_error = ErrorLog()
        options = producer_options(access, linger_ms=linger_ms) | {"error_cb": self._on_error}
        self._client = made(confluent_kafka.Producer, options)
        verify(self._client, access)
        self._poller = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._poller.start()

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_us: int | None = None,
        on_delivery: Callable[[Message], None] | None = None,
    ) -> None:
        self._check()
        self._limits_of(topic).refuse_misfit(topic, key, value, headers, partition)
        try:
            self._client.produce(
                topic,
                value=value,
                key=key,
                headers=list(headers),
                # librdkafka's own words for "you choose" and for "now".
                partition=-1 if partition is None else partition,
                timestamp=0 if timestamp_us is None else timestamp_us // 1000,
                on_delivery=self._report if on_delivery is None else self._report_to(on_delivery),
            )
        except BufferError as exc:
            msg = f"the queue to Kafka is full, {len(self._client)} messages wait; send again a little later"
            raise Retryable(msg) from exc
        except KafkaException as exc:
            raise translate(exc.args[0], f"send to {topic}") from exc

    def flush(self, timeout_s: float) -> None:
        waiting = self._flush(timeout_s)
        if self._failure is not None:
            raise self._failure
        if waiting:
            msg = f"{waiting} messages were still not durable after {timeout_s:g} s; flush again"
            raise Retryable(msg)

    def partition_for(self, topic: str, key: bytes) -> int:
        return partition_of(key, self._limits_of(topic).partitions)

    def close(self) -> None:
        """Waits until what was sent is durable, or failed."""
        if self._closed.is_set():
            return
        self._client.flush(self._access.delivery_timeout_s)
        self._closed.set()
        self._poller.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _flush(self, timeout_s: float) -> int:
        """Waits until all is reported or time is up; returns how many messages are not reported yet."""
        # The reports mostly go to the poll thread. librdkafka's own flush does not notice: it looks ten
        # milliseconds later, which is thrice what a broker near by takes.
        began_s = time.monotonic()
        waiting, passed_s = len(self._client), 0.0
        while waiting and passed_s < timeout_s:
            slice_s = max(_SHORTEST_FLUSH_S, passed_s / 4)
            waiting = self._client.flush(min(slice_s, timeout_s - passed_s))
            passed_s = time.monotonic() - began_s
        return waiting

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed.is_set():
            msg = "the producer is closed; make another one"
            raise Fatal(msg)

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._client.poll(_POLL_S)

    def _report(self, error: KafkaError | None, message: confluent_kafka.Message) -> None:
        if error is not None:
            self._fail(error, f"deliver to {message.topic()}[{message.partition()}]")

    def _report_to(
        self, listener: Callable[[Message], None]
    ) -> Callable[[KafkaError | None, confluent_kafka.Message], None]:
        def report(error: KafkaError | None, message: confluent_kafka.Message) -> None:
            if error is None:
                self._notify(listener, to_message(message))
            else:
                self._report(error, message)

        return report

    def _notify(self, listener: Callable[[Message], None], message: Message) -> None:
        try:
            listener(message)
        except Exception as exc:
            # Raised here it would end the poll thread; the sender gets it instead.
            self._failure = self._failure or delivery_listener_failed(message, exc)

    def _on_error(self, error: KafkaError) -> None:
        """Keeps what can't mend itself; lost connections can."""
        if is_lasting(error):
            self._fail(error, "produce")
        else:
            self._log_error(error)

    def _fail(self, error: KafkaError, act: str) -> None:
        self._failure = self._failure or Fatal(str(translate(error, act)))

    def _limits_of(self, topic: str) -> TopicLimits:
        if topic not in self._limits:
            try:
                self._limits[topic] = self._ask_limits(topic)
            except Unavailable as exc:
                # It answered when this producer was made: it will be back.
                raise Retryable(str(exc)) from exc
        return self._limits[topic]

    def _ask_limits(self, topic: str) -> TopicLimits:
        found = verify(self._client, self._access).topics.get(topic)
        if found is None:
            msg = f"there is no topic {topic!r}; `microservo topics ensure` makes ours"
            raise InvalidInput(msg)
        limit = KafkaAdmin(self._access).max_message_bytes(topic)
        return TopicLimits(partitions=len(found.partitions), max_message_bytes=limit)
