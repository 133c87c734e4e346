"""Ranges are read whole, or it is said what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from microservo.adapters.broker import Message, Partition, TopicSpec
from microservo.errors import OffsetGap
from microservo.log.ranges import RangeReader, read_ranges
from microservo.testing import MemoryBroker

TOPIC = "facts"


class ScriptedConsumer:
    """Returns what it was given, and remembers what was paused."""

    def __init__(self, batches: list[list[Message]]) -> None:
        self._batches = batches
        self.paused: set[Partition] = set()
        self.paused_early: set[Partition] = set()
        """Those that were paused while more of them was to come."""
        self.resumed: set[Partition] = set()

    def assign(self, positions: object) -> None:
        """Everything is scripted."""

    def consume(self, _max_messages: int, _timeout_s: float) -> list[Message]:
        ready = [
            index
            for index, batch in enumerate(self._batches)
            if not {Partition(message.topic, message.partition) for message in batch} & self.paused
        ]
        return self._batches.pop(ready[0]) if ready else []

    def pause(self, partitions: list[Partition]) -> None:
        self.paused |= set(partitions)
        to_come = {Partition(each.topic, each.partition) for batch in self._batches for each in batch}
        self.paused_early |= set(partitions) & to_come

    def resume(self, partitions: list[Partition]) -> None:
        self.paused -= set(partitions)
        self.resumed |= set(partitions)


def message(offset: int, partition: int = 0) -> Message:
    return Message(
        topic=TOPIC, partition=partition, offset=offset, timestamp_us=0, key=None, value=b"%d" % offset
    )


def reader(
    batches: list[list[Message]], ranges: dict[Partition, tuple[int, int]], **options: Any
) -> RangeReader:
    consumer: Any = ScriptedConsumer(batches)
    return RangeReader(consumer, ranges, **options)


def test_a_range_in_the_middle_of_a_log_is_read_exactly() -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name=TOPIC, partitions=2, config={})])
    with broker.producer() as producer:
        for number in range(20):
            producer.send(TOPIC, key=None, value=b"%d" % number, partition=number % 2)
    with broker.consumer(group_id=None) as consumer:
        ranges = {Partition(TOPIC, 0): (2, 5), Partition(TOPIC, 1): (9, 10)}
        found = sorted((each.partition, each.offset) for each in read_ranges(consumer, ranges, batch=2))
    assert found == [(0, 2), (0, 3), (0, 4), (1, 9)]


def test_an_empty_range_is_read_at_once() -> None:
    assert list(reader([], {Partition(TOPIC, 0): (5, 5)})) == []


@pytest.mark.parametrize("offsets", [[1, 2], [0, 2]], ids=["first", "middle"])
def test_a_message_that_is_missing_is_a_gap(offsets: list[int]) -> None:
    with pytest.raises(OffsetGap):
        list(reader([[message(offset) for offset in offsets]], {Partition(TOPIC, 0): (0, 3)}))


def test_missing_messages_at_the_end_are_a_gap() -> None:
    with pytest.raises(OffsetGap):
        list(reader([[message(0), message(7)]], {Partition(TOPIC, 0): (0, 3)}))


def test_a_compacted_topic_may_have_holes() -> None:
    batches = [[message(1), message(4)], [message(7)]]
    found = list(reader(batches, {Partition(TOPIC, 0): (0, 5)}, compacted=True))
    assert [each.offset for batch in found for each in batch] == [1, 4]


def test_what_is_read_twice_counts_once() -> None:
    found = list(reader([[message(0)], [message(0), message(1)]], {Partition(TOPIC, 0): (0, 2)}))
    assert [each.offset for batch in found for each in batch] == [0, 1]


AHEAD, BEHIND = Partition(TOPIC, 0), Partition(TOPIC, 1)


def paced(consumer: ScriptedConsumer, **options: Any) -> list[tuple[int, int]]:
    """Partition and offset of each message, where one offset is 100 s of event time."""
    scripted: Any = consumer
    order = []
    reader = RangeReader(scripted, {AHEAD: (0, 3), BEHIND: (0, 2)}, **options)
    for batch in reader:
        order += [(each.partition, each.offset) for each in batch]
        for each in batch:
            reader.report_progress(Partition(TOPIC, each.partition), (each.offset + 1) * 100_000_000)
    return order


def test_what_is_far_ahead_is_held_back_until_the_slowest_has_come_as_far() -> None:
    consumer = ScriptedConsumer([[message(0)], [message(1)], [message(2)], [message(0, 1)], [message(1, 1)]])
    assert paced(consumer, batch=1) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
    assert BEHIND not in consumer.paused_early
    assert AHEAD not in consumer.paused_early


def test_a_partition_is_paused_when_too_much_of_it_would_be_held_back() -> None:
    consumer = ScriptedConsumer([[message(0)], [message(1)], [message(2)], [message(0, 1)], [message(1, 1)]])
    assert paced(consumer, batch=1, held_bytes=0) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
    assert AHEAD in consumer.paused_early


def test_a_full_backlog_of_a_partition_that_was_paused_is_read_on_when_its_time_has_come() -> None:
    batches = [[message(offset)] for offset in range(3)] + [[message(offset, 1)] for offset in range(2)]
    consumer = ScriptedConsumer(batches)
    paced(consumer, batch=1, held_bytes=0)
    assert consumer.resumed == {AHEAD}


def test_a_message_keeps_its_content() -> None:
    one = message(0)._replace(headers=(("run", b"r"),))
    assert list(reader([[one]], {Partition(TOPIC, 0): (0, 1)})) == [[one]]
