"""How the members of a group share partitions, on every broker."""

from __future__ import annotations

from typing import NoReturn

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.errors import Retryable
from microservo.testing import eventually
from microservo.testing.brokers.acts import (
    create,
    numbered,
    orders,
    read,
    send_values,
)
from microservo.testing.checks import refused


def two_members_share_partitions_and_the_other_takes_over(broker: Broker, prefix: str) -> None:
    topics = [create(broker, f"{prefix}{name}", partitions=4) for name in ("metrics", "faults")]
    owned: dict[str, set[Partition]] = {"a": set(), "b": set()}

    def join(name: str) -> Consumer:
        consumer = broker.consumer(group_id=f"{prefix}group")
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
            # Co-partitioned: the member that has a partition of one topic has the same one of the other.
            assert {p.index for p in owned["a"] if p.topic == topics[0]} == {
                p.index for p in owned["a"] if p.topic == topics[1]
            }
        assert owned["b"] == set()
        eventually(lambda: a.consume(10, 0.1) or owned["a"] == everything, timeout_s=60, what="all for a")


def a_member_that_is_revoked_may_commit_and_nothing_is_read_twice(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    for partition in range(3):
        send_values(broker, topic, numbered(4), partition=partition)
    with broker.consumer(group_id=f"{topic}-group") as a, broker.consumer(group_id=f"{topic}-group") as b:
        a.subscribe([topic], on_revoke=lambda lost: a.commit(dict.fromkeys(lost, 4)))
        read(a, 12)
        seen: list[Partition] = []
        again: list[Message] = []
        b.subscribe([topic], on_assign=seen.extend)

        def is_shared() -> bool:
            again.extend(a.consume(10, 0.1))
            again.extend(b.consume(10, 0.1))
            return bool(seen)

        eventually(is_shared, timeout_s=60, what="a share for b")
        assert again + a.consume(10, 0.5) + b.consume(10, 0.5) == []


def a_partition_that_went_to_another_member_can_not_be_committed(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=f"{topic}-group") as a, broker.consumer(group_id=f"{topic}-group") as b:
        a.subscribe([topic])
        got: list[Partition] = []
        b.subscribe([topic], on_assign=got.extend)
        eventually(
            lambda: a.consume(10, 0.1) or b.consume(10, 0.1) or got, timeout_s=60, what="a share for b"
        )
        with refused(Retryable, "new owner"):
            a.commit({got[0]: 0})
        b.commit({got[0]: 0})


def closing_tells_the_listener_that_partitions_are_lost(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    held: set[Partition] = set()
    with broker.consumer(group_id=f"{topic}-group") as consumer:
        consumer.subscribe([topic], on_assign=held.update, on_revoke=held.difference_update)
        eventually(lambda: consumer.consume(10, 0.1) or held, timeout_s=60, what="the assignment")
    assert held == set()


def what_a_listener_raises_comes_out_of_consume(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)

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
