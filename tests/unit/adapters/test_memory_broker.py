"""What only the in-memory broker has; the rest is in the contract suite."""

from __future__ import annotations

import threading

from microservo.adapters.broker import Partition, TopicSpec
from microservo.adapters.memory import MemoryBroker
from microservo.testing import ManualClock


def test_messages_without_a_time_get_the_given_clocks() -> None:
    clock = ManualClock(5_000_000)
    broker = MemoryBroker(clock)
    broker.admin().ensure_topics([TopicSpec(name="t", partitions=1, config={})])
    producer, consumer = broker.producer(), broker.consumer(group_id=None)
    producer.send("t", key=None, value=b"a")
    clock.advance(1_000_000)
    producer.send("t", key=None, value=b"b")
    consumer.assign({Partition("t", 0): 0})
    assert [message.timestamp_us for message in consumer.consume(2, 0)] == [5_000_000, 6_000_000]


def test_messages_without_a_key_go_to_the_partitions_in_turn() -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name="t", partitions=3, config={})])
    producer, consumer = broker.producer(), broker.consumer(group_id=None)
    for _ in range(6):
        producer.send("t", key=None, value=b"v")
    assert [consumer.offset_range(partition) for partition in consumer.partitions("t")] == [(0, 2)] * 3


def test_no_partition_starves_beside_a_full_one() -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name="t", partitions=2, config={})])
    producer, consumer = broker.producer(), broker.consumer(group_id=None)
    for _ in range(100):
        producer.send("t", key=None, value=b"full", partition=0)
    producer.send("t", key=None, value=b"rare", partition=1)
    consumer.assign({Partition("t", 0): 0, Partition("t", 1): 0})
    assert b"rare" in [message.value for _ in range(2) for message in consumer.consume(10, 0)]


def test_threads_that_send_at_once_lose_nothing() -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name="t", partitions=1, config={})])
    producer = broker.producer()

    def send() -> None:
        for _ in range(500):
            producer.send("t", key=None, value=b"v")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition("t", 0): 0})
        assert [message.offset for message in consumer.consume(5000, 0)] == list(range(2000))


def test_a_member_waits_until_the_others_have_given_up() -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name="t", partitions=2, config={})])
    got: dict[str, list[Partition]] = {"a": [], "b": []}
    a, b = broker.consumer(group_id="g"), broker.consumer(group_id="g")
    a.subscribe(["t"], on_assign=got["a"].extend)
    a.consume(1, 0)
    b.subscribe(["t"], on_assign=got["b"].extend)
    b.consume(1, 0)
    assert got == {"a": [Partition("t", 0), Partition("t", 1)], "b": []}
    a.consume(1, 0)
    b.consume(1, 0)
    assert got["b"] == [Partition("t", 1)]
