"""What every broker does with what is sent."""

from __future__ import annotations

from typing import NoReturn

import pytest
from broker_acts import (
    FLUSH_S,
    YEAR_2026_US,
    create,
    numbered,
    read_all,
    send_values,
    values_of,
)

from microservo.adapters.broker import Broker, Message
from microservo.adapters.partitioner import partition_of
from microservo.errors import Fatal, InvalidInput


def test_messages_keep_their_order_within_a_partition(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(500), partition=1)
    messages = read_all(broker, topic)
    assert values_of(messages) == numbered(500)
    assert [message.offset for message in messages] == list(range(500))
    assert {message.partition for message in messages} == {1}


def test_a_message_arrives_as_it_was_sent(broker: Broker, topic: str) -> None:
    headers = (("ce_type", b"order"), ("wm", b"1"), ("wm", b"2"), ("empty", b""))
    with broker.producer() as producer:
        producer.send(
            topic, key=b"k", value=b"v", headers=headers, partition=2, timestamp_us=YEAR_2026_US + 1_234_567
        )
        producer.flush(FLUSH_S)
    assert read_all(broker, topic) == [
        Message(
            topic=topic,
            partition=2,
            offset=0,
            # Whole milliseconds are kept.
            timestamp_us=YEAR_2026_US + 1_234_000,
            key=b"k",
            value=b"v",
            headers=headers,
        )
    ]


def test_a_message_without_time_gets_the_present_one(broker: Broker, topic: str) -> None:
    send_values(broker, topic, [b"v"])
    assert read_all(broker, topic)[0].timestamp_us > YEAR_2026_US


def test_a_tombstone_is_not_an_empty_value(broker: Broker, topic: str) -> None:
    with broker.producer() as producer:
        producer.send(topic, key=b"k", value=None)
        producer.send(topic, key=b"k", value=b"")
        producer.flush(FLUSH_S)
    assert values_of(read_all(broker, topic)) == [None, b""]


def test_a_missing_key_is_not_an_empty_key(broker: Broker, topic: str) -> None:
    with broker.producer() as producer:
        producer.send(topic, key=None, value=b"v", partition=0)
        producer.send(topic, key=b"", value=b"v", partition=0)
        producer.flush(FLUSH_S)
    assert [message.key for message in read_all(broker, topic)] == [None, b""]


@pytest.mark.parametrize("partitions", [1, 3, 12])
def test_a_key_lands_where_the_partitioner_says(broker: Broker, topic_prefix: str, partitions: int) -> None:
    topic = create(broker, f"{topic_prefix}keyed", partitions=partitions)
    keys = [b"", *(f"service-{number}".encode()[: 1 + number % 14] for number in range(200))]
    with broker.producer() as producer:
        for key in keys:
            producer.send(topic, key=key, value=key)
        producer.flush(FLUSH_S)
        assert {key: producer.partition_for(topic, key) for key in keys} == {
            key: partition_of(key, partitions) for key in keys
        }
    landed = {(message.key, message.partition) for message in read_all(broker, topic)}
    assert landed == {(key, partition_of(key, partitions)) for key in keys}


def test_a_producer_reports_each_message_once_it_is_durable(broker: Broker, topic: str) -> None:
    reports: list[Message] = []
    with broker.producer() as producer:
        for value in numbered(50):
            producer.send(topic, key=b"same", value=value, on_delivery=reports.append)
        producer.flush(FLUSH_S)
        assert values_of(reports) == numbered(50)
        assert [message.offset for message in reports] == list(range(50))
    assert reports == read_all(broker, topic)


def test_what_on_delivery_raises_is_not_lost(broker: Broker, topic: str) -> None:
    def broken(_message: Message) -> NoReturn:
        msg = "broken listener"
        raise ValueError(msg)

    def send_and_flush() -> None:
        producer.send(topic, key=None, value=b"v", on_delivery=broken)
        producer.flush(FLUSH_S)

    with broker.producer() as producer, pytest.raises(Fatal, match="broken listener"):
        send_and_flush()


def test_after_flush_another_client_sees_every_message(broker: Broker, topic: str) -> None:
    with broker.producer(linger_ms=1000) as producer:
        for value in numbered(1000):
            producer.send(topic, key=value, value=value)
        producer.flush(FLUSH_S)
        assert sorted(values_of(read_all(broker, topic)), key=str) == sorted(numbered(1000), key=str)


def test_closing_a_producer_delivers_what_waits(broker: Broker, topic: str) -> None:
    with broker.producer(linger_ms=1000) as producer:
        producer.send(topic, key=None, value=b"v")
    assert values_of(read_all(broker, topic)) == [b"v"]


def test_a_closed_producer_sends_nothing_more(broker: Broker, topic: str) -> None:
    producer = broker.producer()
    producer.close()
    with pytest.raises(Fatal, match="closed"):
        producer.send(topic, key=None, value=b"v")
    producer.close()


def test_a_message_larger_than_the_topic_accepts_is_refused(broker: Broker, topic_prefix: str) -> None:
    topic = create(broker, f"{topic_prefix}small", partitions=1, config={"max.message.bytes": "2000"})
    with broker.producer() as producer:
        with pytest.raises(InvalidInput, match="larger than the 2000"):
            producer.send(topic, key=None, value=bytes(2000))
        with pytest.raises(InvalidInput, match="larger than the 2000"):
            producer.send(topic, key=None, value=None, headers=(("trace", bytes(2000)),))
        producer.send(topic, key=b"k", value=b"fits", headers=(("trace", bytes(1000)),))
        producer.flush(FLUSH_S)
    assert values_of(read_all(broker, topic)) == [b"fits"]


def test_a_topic_may_accept_messages_larger_than_usual(broker: Broker, topic_prefix: str) -> None:
    topic = create(broker, f"{topic_prefix}large", partitions=1, config={"max.message.bytes": "4000000"})
    send_values(broker, topic, [bytes(3_900_000)])
    assert [len(message.value or b"") for message in read_all(broker, topic)] == [3_900_000]


def test_sending_to_an_unknown_topic_is_refused(broker: Broker, topic_prefix: str) -> None:
    with broker.producer() as producer:
        with pytest.raises(InvalidInput, match="no topic"):
            producer.send(f"{topic_prefix}none", key=None, value=b"v")
        with pytest.raises(InvalidInput, match="no topic"):
            producer.partition_for(f"{topic_prefix}none", b"k")


@pytest.mark.parametrize("partition", [-1, 3])
def test_sending_to_an_unknown_partition_is_refused(broker: Broker, topic: str, partition: int) -> None:
    with broker.producer() as producer, pytest.raises(InvalidInput, match="no partition"):
        producer.send(topic, key=None, value=b"v", partition=partition)


def test_a_time_far_ahead_is_accepted(broker: Broker, topic: str) -> None:
    ahead_us = YEAR_2026_US * 2
    with broker.producer() as producer:
        producer.send(topic, key=None, value=b"v", timestamp_us=ahead_us)
        producer.flush(FLUSH_S)
    assert read_all(broker, topic)[0].timestamp_us == ahead_us
