"""What every broker keeps to: the same sentences on the one in memory and on a real Kafka."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NoReturn

import pytest

from microservo.adapters.broker import Broker, Consumer, Message, Partition, TopicSpec
from microservo.adapters.partitioner import partition_of
from microservo.errors import Fatal, InvalidInput, Retryable
from microservo.testing import MemoryBroker, eventually

FLUSH_S = 60
YEAR_2026_US = 1_767_225_600_000_000


@pytest.fixture(
    params=["memory", pytest.param("kafka", marks=pytest.mark.integration)],
)
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        return MemoryBroker()
    found: Broker = request.getfixturevalue("kafka_broker")
    return found


@pytest.fixture
def topic(broker: Broker, topic_prefix: str) -> str:
    """A topic of three partitions."""
    return create(broker, f"{topic_prefix}orders", partitions=3)


def create(broker: Broker, name: str, *, partitions: int, config: dict[str, str] | None = None) -> str:
    broker.admin().ensure_topics([TopicSpec(name=name, partitions=partitions, config=config or {})])
    return name


def send_values(broker: Broker, topic: str, values: Sequence[bytes], *, partition: int = 0) -> None:
    with broker.producer() as producer:
        for value in values:
            producer.send(topic, key=None, value=value, partition=partition)
        producer.flush(FLUSH_S)


def read(consumer: Consumer, count: int) -> list[Message]:
    """Exactly `count` messages: consumes until they are there, and once more for too many."""
    got: list[Message] = []

    def enough() -> bool:
        got.extend(consumer.consume(100, 0.1))
        return len(got) >= count

    eventually(enough, timeout_s=60, what=f"{count} messages")
    got.extend(consumer.consume(100, 0.1))
    assert len(got) == count
    return got


def read_all(broker: Broker, topic: str) -> list[Message]:
    with broker.consumer(group_id=None) as consumer:
        ranges = {partition: consumer.offset_range(partition) for partition in consumer.partitions(topic)}
        consumer.assign({partition: begin for partition, (begin, _) in ranges.items()})
        return read(consumer, sum(end - begin for begin, end in ranges.values()))


def values_of(messages: Sequence[Message]) -> list[bytes | None]:
    return [message.value for message in messages]


def numbered(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def consume_until_fatal(consumer: Consumer) -> None:
    def fatal() -> bool:
        try:
            consumer.consume(10, 0.1)
        except Fatal:
            return True
        return False

    eventually(fatal, timeout_s=60, what="Fatal from consume")


# Sending and reading


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


# Reading exact ranges


def test_assign_reads_exactly_from_the_given_offsets(broker: Broker, topic: str) -> None:
    for partition in range(3):
        send_values(broker, topic, numbered(10), partition=partition)
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 7, Partition(topic, 2): 9})
        got = read(consumer, 4)
    assert sorted((message.partition, message.offset) for message in got) == [(0, 7), (0, 8), (0, 9), (2, 9)]


def test_assign_replaces_what_was_assigned(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(5), partition=0)
    send_values(broker, topic, numbered(5), partition=1)
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        read(consumer, 5)
        consumer.assign({Partition(topic, 1): 3})
        assert {(message.partition, message.offset) for message in read(consumer, 2)} == {(1, 3), (1, 4)}


def test_assign_at_the_end_waits_for_what_comes(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 3})
        assert consumer.consume(10, 0.5) == []
        send_values(broker, topic, [b"new"])
        assert values_of(read(consumer, 1)) == [b"new"]


def test_an_offset_that_is_not_there_is_fatal(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 4})
        consume_until_fatal(consumer)


@pytest.mark.parametrize("at_most", [1, 7])
def test_consume_gives_at_most_what_was_asked_for(broker: Broker, topic: str, at_most: int) -> None:
    send_values(broker, topic, numbered(20))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        got: list[Message] = []

        def all_read() -> bool:
            batch = consumer.consume(at_most, 0.5)
            assert len(batch) <= at_most
            got.extend(batch)
            return len(got) >= 20

        eventually(all_read, timeout_s=60, what="all messages")
    assert values_of(got) == numbered(20)


def test_a_waiting_consumer_gets_what_another_thread_sends(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        sender = threading.Thread(target=send_values, args=(broker, topic, [b"v"]))
        sender.start()
        got = consumer.consume(1, 60)
        sender.join()
    assert values_of(got) == [b"v"]


def test_offset_range_has_the_first_and_the_next_offset(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(4), partition=1)
    with broker.consumer(group_id=None) as consumer:
        assert consumer.offset_range(Partition(topic, 0)) == (0, 0)
        assert consumer.offset_range(Partition(topic, 1)) == (0, 4)


@pytest.mark.parametrize(
    ("after_us", "offset"),
    [(-1, 0), (0, 0), (1, 1), (1000, 1), (2000, 1), (2001, 3), (5000, 3), (5001, 4)],
)
def test_offset_at_is_the_first_not_before_the_time(
    broker: Broker, topic: str, after_us: int, offset: int
) -> None:
    with broker.producer() as producer:
        for ms in (0, 2, 1, 5):
            producer.send(topic, key=None, value=b"v", partition=0, timestamp_us=YEAR_2026_US + ms * 1000)
        producer.flush(FLUSH_S)
    with broker.consumer(group_id=None) as consumer:
        assert consumer.offset_at(Partition(topic, 0), YEAR_2026_US + after_us) == offset


def test_offset_at_of_an_empty_partition_is_its_end(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=None) as consumer:
        assert consumer.offset_at(Partition(topic, 0), 0) == 0


def test_a_consumer_knows_the_partitions_of_a_topic(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=None) as consumer:
        assert consumer.partitions(topic) == [Partition(topic, index) for index in range(3)]


def test_asking_for_an_unknown_topic_is_refused(broker: Broker, topic_prefix: str) -> None:
    with broker.consumer(group_id=None) as consumer:
        with pytest.raises(InvalidInput):
            consumer.partitions(f"{topic_prefix}none")
        with pytest.raises(InvalidInput):
            consumer.offset_range(Partition(f"{topic_prefix}none", 0))
        with pytest.raises(InvalidInput):
            consumer.offset_at(Partition(f"{topic_prefix}none", 0), 0)


def test_asking_for_an_unknown_partition_is_refused(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=None) as consumer, pytest.raises(InvalidInput):
        consumer.offset_range(Partition(topic, 3))


def test_paused_partitions_give_nothing_until_resumed(broker: Broker, topic: str) -> None:
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


def test_pausing_in_the_middle_of_fetched_messages_loses_none(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(50))
    with broker.consumer(group_id=None) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        first = eventually(lambda: consumer.consume(5, 0.5), timeout_s=60, what="the first messages")
        consumer.pause([Partition(topic, 0)])
        assert consumer.consume(100, 0.5) == []
        consumer.resume([Partition(topic, 0)])
        assert values_of([*first, *read(consumer, 50 - len(first))]) == numbered(50)


# Groups


def test_a_new_group_that_starts_earliest_reads_everything(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=f"{topic}-group", start="earliest") as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 3)) == numbered(3)


def test_a_new_group_that_starts_latest_reads_only_what_comes(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=f"{topic}-group", start="latest") as consumer:
        assigned: list[Partition] = []
        consumer.subscribe([topic], on_assign=assigned.extend)
        eventually(lambda: consumer.consume(10, 0.1) or assigned, timeout_s=60, what="the assignment")
        # The position is looked up after the assignment.
        assert consumer.consume(10, 1) == []
        send_values(broker, topic, [b"new"])
        assert values_of(read(consumer, 1)) == [b"new"]


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_a_group_goes_on_from_its_commit(broker: Broker, topic: str, start: str) -> None:
    send_values(broker, topic, numbered(5))
    group = f"{topic}-group"
    with broker.consumer(group_id=group) as consumer:
        consumer.subscribe([topic])
        read(consumer, 5)
        consumer.commit({Partition(topic, 0): 3, Partition(topic, 1): 0, Partition(topic, 2): 0})
    with broker.consumer(group_id=group, start="latest" if start == "latest" else "earliest") as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 2)) == [b"3", b"4"]


def test_what_was_not_committed_is_read_again(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(3))
    for _ in range(2):
        with broker.consumer(group_id=f"{topic}-group") as consumer:
            consumer.subscribe([topic])
            assert values_of(read(consumer, 3)) == numbered(3)


def test_groups_do_not_see_each_other(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(3))
    for group in ("one", "two"):
        with broker.consumer(group_id=f"{topic}-{group}") as consumer:
            consumer.subscribe([topic])
            assert values_of(read(consumer, 3)) == numbered(3)
            consumer.commit({Partition(topic, 0): 3})


def test_two_members_share_partitions_and_the_other_takes_over(broker: Broker, topic_prefix: str) -> None:
    topics = [create(broker, f"{topic_prefix}{name}", partitions=4) for name in ("metrics", "faults")]
    owned: dict[str, set[Partition]] = {"a": set(), "b": set()}

    def join(name: str) -> Consumer:
        consumer = broker.consumer(group_id=f"{topic_prefix}group")
        consumer.subscribe(topics, on_assign=owned[name].update, on_revoke=owned[name].difference_update)
        return consumer

    everything = {Partition(topic, index) for topic in topics for index in range(4)}
    with join("a") as a:
        eventually(lambda: a.consume(10, 0.1) or owned["a"] == everything, timeout_s=60, what="all for a")
        with join("b") as b:

            def shared() -> bool:
                assert not a.consume(10, 0.1)
                assert not b.consume(10, 0.1)
                assert not owned["a"] & owned["b"]
                return len(owned["a"]) == len(owned["b"]) == 4

            eventually(shared, timeout_s=60, what="an even share")
            assert owned["a"] | owned["b"] == everything
            # Co-partitioned: whoever has a partition of one topic has the same one of the other.
            assert {p.index for p in owned["a"] if p.topic == topics[0]} == {
                p.index for p in owned["a"] if p.topic == topics[1]
            }
        assert owned["b"] == set()
        eventually(lambda: a.consume(10, 0.1) or owned["a"] == everything, timeout_s=60, what="all for a")


def test_a_member_that_is_revoked_may_commit_and_nothing_is_read_twice(broker: Broker, topic: str) -> None:
    for partition in range(3):
        send_values(broker, topic, numbered(4), partition=partition)
    with broker.consumer(group_id=f"{topic}-group") as a, broker.consumer(group_id=f"{topic}-group") as b:
        a.subscribe([topic], on_revoke=lambda lost: a.commit(dict.fromkeys(lost, 4)))
        read(a, 12)
        seen: list[Partition] = []
        b.subscribe([topic], on_assign=seen.extend)
        eventually(
            lambda: a.consume(10, 0.1) or b.consume(10, 0.1) or seen, timeout_s=60, what="a share for b"
        )
        assert a.consume(10, 0.5) + b.consume(10, 0.5) == []


def test_a_partition_that_went_to_another_member_can_not_be_committed(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=f"{topic}-group") as a, broker.consumer(group_id=f"{topic}-group") as b:
        a.subscribe([topic])
        got: list[Partition] = []
        b.subscribe([topic], on_assign=got.extend)
        eventually(
            lambda: a.consume(10, 0.1) or b.consume(10, 0.1) or got, timeout_s=60, what="a share for b"
        )
        with pytest.raises(Retryable, match="new owner"):
            a.commit({got[0]: 0})
        b.commit({got[0]: 0})


def test_closing_tells_the_listener_that_partitions_are_lost(broker: Broker, topic: str) -> None:
    held: set[Partition] = set()
    with broker.consumer(group_id=f"{topic}-group") as consumer:
        consumer.subscribe([topic], on_assign=held.update, on_revoke=held.difference_update)
        eventually(lambda: consumer.consume(10, 0.1) or held, timeout_s=60, what="the assignment")
    assert held == set()


def test_what_a_listener_raises_comes_out_of_consume(broker: Broker, topic: str) -> None:
    def broken(_partitions: list[Partition]) -> NoReturn:
        msg = "broken listener"
        raise Retryable(msg)

    with broker.consumer(group_id=f"{topic}-group") as consumer:
        consumer.subscribe([topic], on_assign=broken)

        def raised() -> bool:
            try:
                consumer.consume(10, 0.1)
            except Retryable as exc:
                return "broken listener" in str(exc)
            return False

        eventually(raised, timeout_s=60, what="the listener's error")


def test_subscribing_to_an_unknown_topic_is_fatal(broker: Broker, topic_prefix: str) -> None:
    with broker.consumer(group_id=f"{topic_prefix}group") as consumer:
        consumer.subscribe([f"{topic_prefix}none"])
        consume_until_fatal(consumer)


def test_assigning_an_unknown_partition_is_refused(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=None) as consumer:
        with pytest.raises(InvalidInput):
            consumer.assign({Partition(f"{topic}-none", 0): 0})
        with pytest.raises(InvalidInput):
            consumer.assign({Partition(topic, 3): 0})


def test_without_a_group_there_is_no_subscription_and_no_commit(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=None) as consumer:
        with pytest.raises(InvalidInput, match="group"):
            consumer.subscribe([topic])
        with pytest.raises(InvalidInput, match="group"):
            consumer.commit({Partition(topic, 0): 0})


def test_a_group_can_also_assign_and_commit(broker: Broker, topic: str) -> None:
    send_values(broker, topic, numbered(3))
    group = f"{topic}-group"
    with broker.consumer(group_id=group) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        assert values_of(read(consumer, 3)) == numbered(3)
        consumer.commit({Partition(topic, 0): 2})
    with broker.consumer(group_id=group) as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 1)) == [b"2"]


# Topics


def test_ensure_topics_creates_once_and_says_what_it_created(broker: Broker, topic_prefix: str) -> None:
    admin = broker.admin()
    first = TopicSpec(name=f"{topic_prefix}a", partitions=2, config={"cleanup.policy": "compact"})
    second = TopicSpec(name=f"{topic_prefix}b", partitions=1, config={})
    assert admin.ensure_topics([first]) == [first.name]
    assert admin.ensure_topics([first, second]) == [second.name]
    assert admin.ensure_topics([first, second]) == []
    mine = [state for state in admin.topics() if state.name.startswith(topic_prefix)]
    assert [(state.name, state.partitions, state.config) for state in mine] == [
        (first.name, 2, {"cleanup.policy": "compact"}),
        (second.name, 1, {}),
    ]


def test_ensure_topics_refuses_another_number_of_partitions(broker: Broker, topic_prefix: str) -> None:
    admin = broker.admin()
    admin.ensure_topics([TopicSpec(name=f"{topic_prefix}a", partitions=2, config={})])
    fresh = TopicSpec(name=f"{topic_prefix}b", partitions=1, config={})
    with pytest.raises(InvalidInput, match="has 2 partitions, expected 3"):
        admin.ensure_topics([fresh, TopicSpec(name=f"{topic_prefix}a", partitions=3, config={})])
    assert fresh.name not in {state.name for state in admin.topics()}


def test_the_brokers_own_topics_are_not_listed(broker: Broker, topic: str) -> None:
    with broker.consumer(group_id=f"{topic}-group") as consumer:
        consumer.assign({Partition(topic, 0): 0})
        consumer.commit({Partition(topic, 0): 0})
    names = [state.name for state in broker.admin().topics()]
    assert topic in names
    assert not [name for name in names if name.startswith("__")]


def test_a_running_broker_is_ready(broker: Broker) -> None:
    broker.admin().wait_ready(30)
