"""What every broker does with what is sent."""

from __future__ import annotations

from typing import NoReturn

from microservo.adapters.broker import Broker, Message
from microservo.adapters.partitioner import partition_of
from microservo.errors import Fatal, InvalidInput
from microservo.testing.brokers.acts import (
    FLUSH_S,
    YEAR_2026_US,
    create,
    numbered,
    orders,
    read_all,
    send_values,
    values_of,
)
from microservo.testing.checks import refused


def messages_keep_their_order_within_a_partition(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(500), partition=1)
    messages = read_all(broker, topic)
    assert values_of(messages) == numbered(500)
    assert [message.offset for message in messages] == list(range(500))
    assert {message.partition for message in messages} == {1}


def a_message_arrives_as_it_was_sent(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
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


def a_message_without_time_gets_the_present_one(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, [b"v"])
    assert read_all(broker, topic)[0].timestamp_us > YEAR_2026_US


def a_tombstone_is_not_an_empty_value(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.producer() as producer:
        producer.send(topic, key=b"k", value=None)
        producer.send(topic, key=b"k", value=b"")
        producer.flush(FLUSH_S)
    assert values_of(read_all(broker, topic)) == [None, b""]


def a_missing_key_is_not_an_empty_key(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.producer() as producer:
        producer.send(topic, key=None, value=b"v", partition=0)
        producer.send(topic, key=b"", value=b"v", partition=0)
        producer.flush(FLUSH_S)
    assert [message.key for message in read_all(broker, topic)] == [None, b""]


def a_key_lands_where_the_partitioner_says(broker: Broker, prefix: str) -> None:
    keys = [b"", *(f"service-{number}".encode()[: 1 + number % 14] for number in range(200))]
    for partitions in (1, 3, 12):
        topic = create(broker, f"{prefix}keyed-{partitions}", partitions=partitions)
        with broker.producer() as producer:
            for key in keys:
                producer.send(topic, key=key, value=key)
            producer.flush(FLUSH_S)
            assert {key: producer.partition_for(topic, key) for key in keys} == {
                key: partition_of(key, partitions) for key in keys
            }
        landed = {(message.key, message.partition) for message in read_all(broker, topic)}
        assert landed == {(key, partition_of(key, partitions)) for key in keys}


def a_producer_reports_each_message_once_it_is_durable(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    reports: list[Message] = []
    with broker.producer() as producer:
        for value in numbered(50):
            producer.send(topic, key=b"same", value=value, on_delivery=reports.append)
        producer.flush(FLUSH_S)
        assert values_of(reports) == numbered(50)
        assert [message.offset for message in reports] == list(range(50))
    assert reports == read_all(broker, topic)


def what_on_delivery_raises_is_not_lost(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)

    def broken(_message: Message) -> NoReturn:
        msg = "broken listener"
        raise ValueError(msg)

    def send_and_flush() -> None:
        producer.send(topic, key=None, value=b"v", on_delivery=broken)
        producer.flush(FLUSH_S)

    with broker.producer() as producer, refused(Fatal, "broken listener"):
        send_and_flush()


def after_flush_another_client_sees_every_message(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.producer(linger_ms=1000) as producer:
        for value in numbered(1000):
            producer.send(topic, key=value, value=value)
        producer.flush(FLUSH_S)
        assert sorted(values_of(read_all(broker, topic)), key=str) == sorted(numbered(1000), key=str)


def closing_a_producer_delivers_what_waits(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.producer(linger_ms=1000) as producer:
        producer.send(topic, key=None, value=b"v")
    assert values_of(read_all(broker, topic)) == [b"v"]


def a_closed_producer_sends_nothing_more(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    producer = broker.producer()
    producer.close()
    with refused(Fatal, "closed"):
        producer.send(topic, key=None, value=b"v")
    producer.close()


def a_message_larger_than_the_topic_accepts_is_refused(broker: Broker, prefix: str) -> None:
    topic = create(broker, f"{prefix}small", partitions=1, config={"max.message.bytes": "2000"})
    with broker.producer() as producer:
        with refused(InvalidInput, "larger than the 2000"):
            producer.send(topic, key=None, value=bytes(2000))
        with refused(InvalidInput, "larger than the 2000"):
            producer.send(topic, key=None, value=None, headers=(("trace", bytes(2000)),))
        producer.send(topic, key=b"k", value=b"fits", headers=(("trace", bytes(1000)),))
        producer.flush(FLUSH_S)
    assert values_of(read_all(broker, topic)) == [b"fits"]


def a_topic_may_accept_messages_larger_than_usual(broker: Broker, prefix: str) -> None:
    topic = create(broker, f"{prefix}large", partitions=1, config={"max.message.bytes": "4000000"})
    send_values(broker, topic, [bytes(3_900_000)])
    assert [len(message.value or b"") for message in read_all(broker, topic)] == [3_900_000]


def sending_to_an_unknown_topic_is_refused(broker: Broker, prefix: str) -> None:
    with broker.producer() as producer:
        with refused(InvalidInput, "no topic"):
            producer.send(f"{prefix}none", key=None, value=b"v")
        with refused(InvalidInput, "no topic"):
            producer.partition_for(f"{prefix}none", b"k")


def sending_to_an_unknown_partition_is_refused(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.producer() as producer:
        for partition in (-1, 3):
            with refused(InvalidInput, "no partition"):
                producer.send(topic, key=None, value=b"v", partition=partition)


def a_time_far_ahead_is_accepted(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    ahead_us = YEAR_2026_US * 2
    with broker.producer() as producer:
        producer.send(topic, key=None, value=b"v", timestamp_us=ahead_us)
        producer.flush(FLUSH_S)
    assert read_all(broker, topic)[0].timestamp_us == ahead_us
