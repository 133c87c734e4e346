"""How a group reads and commits, on every broker."""

from __future__ import annotations

from typing import Literal

from microservo.adapters.broker import Broker, Partition
from microservo.errors import InvalidInput
from microservo.testing import eventually
from microservo.testing.brokers.acts import (
    consume_until_fatal,
    numbered,
    orders,
    read,
    send_values,
    values_of,
)
from microservo.testing.checks import refused


def a_new_group_that_starts_earliest_reads_everything(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=f"{topic}-group", start="earliest") as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 3)) == numbered(3)


def a_new_group_that_starts_latest_reads_only_what_comes(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, [b"old"] * 3)
    with broker.consumer(group_id=f"{topic}-group", start="latest") as consumer:
        consumer.subscribe([topic])
        got: list[bytes | None] = []

        def is_heard() -> bool:
            # The position is looked up at some moment after the assignment: what comes before is not read.
            send_values(broker, topic, [b"new"])
            got.extend(values_of(consumer.consume(10, 0.5)))
            return bool(got)

        eventually(is_heard, timeout_s=60, what="a message")
    assert set(got) == {b"new"}


def a_group_goes_on_from_its_commit(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(5))
    starts: tuple[Literal["earliest"], Literal["latest"]] = ("earliest", "latest")
    for start in starts:
        group = f"{topic}-{start}"
        with broker.consumer(group_id=group) as consumer:
            consumer.subscribe([topic])
            read(consumer, 5)
            consumer.commit({Partition(topic, 0): 3, Partition(topic, 1): 0, Partition(topic, 2): 0})
        with broker.consumer(group_id=group, start=start) as consumer:
            consumer.subscribe([topic])
            assert values_of(read(consumer, 2)) == [b"3", b"4"]


def what_was_not_committed_is_read_again(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    for _ in range(2):
        with broker.consumer(group_id=f"{topic}-group") as consumer:
            consumer.subscribe([topic])
            assert values_of(read(consumer, 3)) == numbered(3)


def groups_do_not_see_each_other(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    for group in ("one", "two"):
        with broker.consumer(group_id=f"{topic}-{group}") as consumer:
            consumer.subscribe([topic])
            assert values_of(read(consumer, 3)) == numbered(3)
            consumer.commit({Partition(topic, 0): 3})


def subscribing_to_an_unknown_topic_is_fatal(broker: Broker, prefix: str) -> None:
    with broker.consumer(group_id=f"{prefix}group") as consumer:
        consumer.subscribe([f"{prefix}none"])
        consume_until_fatal(consumer)


def without_a_group_there_is_no_subscription_and_no_commit(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=None) as consumer:
        with refused(InvalidInput, "group"):
            consumer.subscribe([topic])
        with refused(InvalidInput, "group"):
            consumer.commit({Partition(topic, 0): 0})


def a_group_can_also_assign_and_commit(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    group = f"{topic}-group"
    with broker.consumer(group_id=group) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        assert values_of(read(consumer, 3)) == numbered(3)
        consumer.commit({Partition(topic, 0): 2})
    with broker.consumer(group_id=group) as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 1)) == [b"2"]


def a_group_that_is_begun_goes_on_from_where_the_log_began(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    broker.admin().begin_group(f"{topic}-group", [topic])
    send_values(broker, topic, numbered(3))
    with broker.consumer(group_id=f"{topic}-group", start="latest") as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 3)) == numbered(3)


def beginning_a_group_leaves_what_it_has_committed(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    group = f"{topic}-group"
    with broker.consumer(group_id=group) as consumer:
        consumer.assign({Partition(topic, 0): 0})
        consumer.commit({Partition(topic, 0): 2})
    broker.admin().begin_group(group, [topic])
    with broker.consumer(group_id=group) as consumer:
        consumer.subscribe([topic])
        assert values_of(read(consumer, 1)) == [b"2"]


def a_group_with_members_is_left_as_it_is(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    send_values(broker, topic, numbered(3))
    group = f"{topic}-group"
    with broker.consumer(group_id=group) as consumer:
        consumer.subscribe([topic])
        read(consumer, 3)
        broker.admin().begin_group(group, [topic])
        consumer.commit({Partition(topic, 0): 3})
    with broker.consumer(group_id=group) as consumer:
        consumer.subscribe([topic])
        send_values(broker, topic, [b"new"])
        assert values_of(read(consumer, 1)) == [b"new"]


def a_group_of_an_unknown_topic_is_not_begun(broker: Broker, prefix: str) -> None:
    with refused(InvalidInput, f"{prefix}none"):
        broker.admin().begin_group(f"{prefix}group", [f"{prefix}none"])
