"""What the consumer on a real Kafka does beyond the contract of all brokers."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from microservo.adapters.broker import Message, Partition, TopicSpec
from microservo.adapters.kafka import KafkaBroker
from microservo.errors import Fatal
from microservo.testing import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def topic(kafka_broker: KafkaBroker, topic_prefix: str) -> str:
    name = f"{topic_prefix}orders"
    kafka_broker.admin().ensure_topics([TopicSpec(name=name, partitions=1, config={})])
    return name


def test_a_member_whose_coordinator_is_gone_joins_anew_and_reads_on(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    assignments: list[list[Partition]] = []
    got: list[Message] = []

    def read(count: int) -> bool:
        got.extend(consumer.consume(10, 0.1))
        return len(got) >= count

    with kafka_broker.producer() as producer, kafka_broker.consumer(group_id=f"{topic}-group") as consumer:
        consumer.subscribe([topic], on_assign=assignments.append)
        producer.send(topic, key=None, value=b"a")
        eventually(lambda: read(1), timeout_s=60, what="the first message")
        consumer.commit({Partition(topic, 0): 1})
        # It comes as a message from librdkafka, at a moment that no test can choose.
        assert consumer._is_error(KafkaError(KafkaError.NOT_COORDINATOR))
        producer.send(topic, key=None, value=b"b")
        eventually(lambda: read(2), timeout_s=60, what="the second message")
        consumer.commit({Partition(topic, 0): 2})
    assert [message.value for message in got] == [b"a", b"b"]
    assert assignments == [[Partition(topic, 0)]] * 2


def test_an_error_that_joining_does_not_mend_is_fatal(kafka_broker: KafkaBroker) -> None:
    with kafka_broker.consumer(group_id=None) as consumer, pytest.raises(Fatal, match="consume"):
        consumer._is_error(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
