from __future__ import annotations

from microservo.adapters.broker import Message, Partition
from microservo.log.backlog import Backlog

ONE, OTHER = Partition("facts", 0), Partition("facts", 1)


def message(offset: int, partition: int) -> Message:
    return Message(
        topic="facts", partition=partition, offset=offset, timestamp_us=0, key=None, value=bytes(100)
    )


def filled(ones: int, others: int) -> Backlog:
    backlog = Backlog([ONE, OTHER])
    for partition, count in ((ONE, ones), (OTHER, others)):
        for offset in range(count):
            backlog.add(partition, message(offset, partition.index))
    return backlog


def test_messages_are_taken_equally_from_each_partition_in_their_order() -> None:
    taken = filled(5, 5).pop([ONE, OTHER], 4)
    assert [(each.partition, each.offset) for each in taken] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_only_partitions_that_are_asked_for_are_taken_from() -> None:
    backlog = filled(2, 2)
    assert [each.partition for each in backlog.pop([OTHER], 10)] == [1, 1]
    assert (backlog.has([ONE]), backlog.has([OTHER])) == (True, False)


def test_no_more_than_was_asked_for_is_taken() -> None:
    assert len(filled(1, 5).pop([ONE, OTHER], 1)) == 1


def test_the_size_follows_what_is_in_it() -> None:
    backlog = filled(3, 1)
    whole = backlog.size_bytes
    backlog.pop([ONE], 2)
    assert 0 < backlog.size_bytes < whole
    backlog.pop([ONE, OTHER], 9)
    assert backlog.size_bytes == 0
