"""Reading what already lies on a topic, up to where it ended when asked."""

from __future__ import annotations

from collections.abc import Iterator

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.errors import Retryable

_TIMEOUT_S = 10.0
_BATCH = 1000


def read_log(broker: Broker, topic: str, *, since_us: int | None = None) -> Iterator[Message]:
    """The messages of all partitions of a topic, in order for each partition.

    Args:
        broker: where the topic lies.
        topic: physical name.
        since_us: leaves out what was written before this instant (epoch microseconds); None takes all.

    Raises:
        InvalidInput: there is no such topic.
        Retryable: the broker stopped giving messages.
    """
    with broker.consumer(group_id=None) as consumer:
        begins = positions_since(consumer, topic, since_us)
        ends = {partition: consumer.offset_range(partition)[1] for partition in begins}
        left = {partition for partition, begin in begins.items() if begin < ends[partition]}
        consumer.assign({partition: begins[partition] for partition in left})
        while left:
            for message in _batch(consumer, topic):
                partition = Partition(message.topic, message.partition)
                if message.offset < ends[partition]:
                    yield message
                if message.offset >= ends[partition] - 1:
                    left.discard(partition)


def positions_since(consumer: Consumer, topic: str, since_us: int | None) -> dict[Partition, int]:
    """Where to begin on each partition to see all that was written since an instant; None means all."""
    return {
        partition: consumer.offset_range(partition)[0]
        if since_us is None
        else consumer.offset_at(partition, since_us)
        for partition in consumer.partitions(topic)
    }


def _batch(consumer: Consumer, topic: str) -> list[Message]:
    batch = consumer.consume(_BATCH, 0.1)
    if not batch:
        batch = consumer.consume(1, _TIMEOUT_S)
    if not batch:
        msg = f"{topic}: nothing arrived within {_TIMEOUT_S:g} s; the next effort may succeed"
        raise Retryable(msg)
    return batch
