"""How every broker is read from given offsets."""

from __future__ import annotations

import threading
import time

from microservo.adapters.broker import Broker, Message, Partition
from microservo.errors import InvalidInput
from microservo.testing import eventually
from microservo.testing.brokers.acts import (
    FLUSH_S,
    YEAR_2026_US,
    consume_until_fatal,
    numbered,
    orders,
    read,
    send_values,
    values_of,
)
from microservo.testing.checks import refused


def assign_reads_exactly_from_the_given_offsets(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    for partition in range(3):
        send_values(broker, topic, numbered(10), partition=partition)
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 7, Partition(topic, 2): 9})
        got = read(consumer, 4)
    assert sorted((message.partition, message.offset) for message in got) == [(0, 7), (0, 8), (0, 9), (2, 9)]


def assign_replaces_what_was_assigned(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(5), partition=0)
    send_values(broker, topic, numbered(5), partition=1)
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        read(consumer, 5)
        consumer.assign({Partition(topic, 1): 3})
        assert {(message.partition, message.offset) for message in read(consumer, 2)} == {(1, 3), (1, 4)}


def assign_at_the_end_waits_for_what_comes(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 3})
        assert consumer.consume(10, 0.5) == []
        send_values(broker, topic, [b"new"])
        assert values_of(read(consumer, 1)) == [b"new"]


def an_offset_that_is_not_there_is_fatal(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 4})
        consume_until_fatal(consumer)


def consume_gives_at_most_what_was_asked_for(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(20))
    for at_most in (1, 7):
        with broker.consumer(group_id=None) as consumer:
            consumer.assign({Partition(topic, 0): 0})
            got: list[Message] = []
            deadline_s = time.monotonic() + 60
            while len(got) < 20 and time.monotonic() < deadline_s:
                batch = consumer.consume(at_most, 0.2)
                assert len(batch) <= at_most
                got += batch
        assert values_of(got) == numbered(20)


def a_waiting_consumer_gets_what_another_thread_sends(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        sender = threading.Thread(target=send_values, args=(broker, topic, [b"v"]))
        sender.start()
        got = consumer.consume(1, 60)
        sender.join()
    assert values_of(got) == [b"v"]


def offset_range_has_the_first_and_the_next_offset(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(4), partition=1)
    with broker.consumer(group_id=None) as consumer:
        assert consumer.offset_range(Partition(topic, 0)) == (0, 0)
        assert consumer.offset_range(Partition(topic, 1)) == (0, 4)


def offset_at_is_the_first_not_before_the_time(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.producer() as producer:
        for ms in (0, 2, 1, 5):
            producer.send(topic, key=None, value=b"v", partition=0, timestamp_us=YEAR_2026_US + ms * 1000)
        producer.flush(FLUSH_S)
    with broker.consumer(group_id=None) as consumer:
        after_us = (-1, 0, 1, 1000, 2000, 2001, 5000, 5001)
        found = [consumer.offset_at(Partition(topic, 0), YEAR_2026_US + us) for us in after_us]
    assert found == [0, 0, 1, 1, 1, 3, 3, 4]


def offset_at_of_an_empty_partition_is_its_end(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=None) as consumer:
        assert consumer.offset_at(Partition(topic, 0), 0) == 0


def a_consumer_knows_the_partitions_of_a_topic(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=None) as consumer:
        assert consumer.partitions(topic) == [Partition(topic, index) for index in range(3)]


def asking_for_an_unknown_topic_is_refused(broker: Broker, prefix: str) -> None:
    with broker.consumer(group_id=None) as consumer:
        with refused(InvalidInput):
            consumer.partitions(f"{prefix}none")
        with refused(InvalidInput):
            consumer.offset_range(Partition(f"{prefix}none", 0))
        with refused(InvalidInput):
            consumer.offset_at(Partition(f"{prefix}none", 0), 0)


def asking_for_an_unknown_partition_is_refused(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=None) as consumer, refused(InvalidInput):
        consumer.offset_range(Partition(topic, 3))


def paused_partitions_give_nothing_until_resumed(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0, Partition(topic, 1): 0})
        send_values(broker, topic, numbered(3), partition=0)
        read(consumer, 3)
        consumer.pause([Partition(topic, 0)])
        send_values(broker, topic, numbered(4), partition=0)
        send_values(broker, topic, numbered(2), partition=1)
        assert [(m.partition, m.offset) for m in read(consumer, 2)] == [(1, 0), (1, 1)]
        consumer.resume([Partition(topic, 0)])
        assert [(m.partition, m.offset) for m in read(consumer, 4)] == [(0, 3), (0, 4), (0, 5), (0, 6)]


def pausing_in_the_middle_of_fetched_messages_loses_none(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(50))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        first = eventually(lambda: consumer.consume(5, 0.5), timeout_s=60, what="the first messages")
        consumer.pause([Partition(topic, 0)])
        assert consumer.consume(100, 0.5) == []
        consumer.resume([Partition(topic, 0)])
        assert values_of([*first, *read(consumer, 50 - len(first))]) == numbered(50)


def a_partition_that_was_paused_is_read_once_it_is_assigned_anew(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        read(consumer, 3)
        consumer.pause([Partition(topic, 0)])
        consumer.assign({Partition(topic, 0): 3})
        send_values(broker, topic, numbered(2))
        assert values_of(read(consumer, 2)) == numbered(2)


def assigning_an_unknown_partition_is_refused(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=None) as consumer:
        with refused(InvalidInput):
            consumer.assign({Partition(f"{topic}-none", 0): 0})
        with refused(InvalidInput):
            consumer.assign({Partition(topic, 3): 0})
