from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.adapters.broker import Message, Partition, TopicSpec
from microservo.errors import InvalidInput, Retryable
from microservo.log.stamped import HEARTBEAT_US, StampedWriter
from microservo.testing import ManualClock, MemoryBroker
from schemas.codec import encode
from schemas.envelope import HEARTBEAT_KEY, Stamp
from schemas.examples import examples

TOPIC = "lab-telemetry-metrics"
VALUE = encode(examples()["metric_batch", 1]["two_points"])
NOON_US = 1_800_000_000_000_000


def broker_with(partitions: int) -> MemoryBroker:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name=TOPIC, partitions=partitions, config={})])
    return broker


def writer_on(broker: MemoryBroker, clock: ManualClock, name: str = "collector") -> StampedWriter:
    return StampedWriter(broker, TOPIC, writer=name, run_id=lambda: "run-1", clock=clock, source="/test")


def log_of(broker: MemoryBroker, partition: int = 0) -> list[Message]:
    with broker.consumer(group_id=None) as consumer:
        where = Partition(TOPIC, partition)
        first, end = consumer.offset_range(where)
        consumer.assign({where: first})
        found: list[Message] = []
        while len(found) < end - first:
            found += consumer.consume(end - first - len(found), 1)
        return found


def stamps_of(broker: MemoryBroker, partition: int = 0) -> list[Stamp]:
    return [Stamp.read(message.headers) for message in log_of(broker, partition)]


def test_every_message_carries_stamp_run_and_cloud_event() -> None:
    broker = broker_with(1)
    writer_on(broker, ManualClock(NOON_US)).send(b"cart", VALUE, 17)
    message = log_of(broker)[0]
    assert Stamp.read(message.headers) == Stamp(
        run="run-1", watermark_us=NOON_US, writer="collector", sequence=0, total=17
    )
    assert message.header("run") == b"run-1"
    assert message.header("ce_type") == b"microservo.metric_batch"
    assert message.header("ce_id") == b"collector/0/0"


def test_records_are_counted_per_partition_without_gaps() -> None:
    broker = broker_with(2)
    writer = writer_on(broker, ManualClock(NOON_US))
    for partition, records in [(0, 3), (1, 5), (0, 4)]:
        writer.send(b"k", VALUE, records, partition=partition)
    assert [(stamp.sequence, stamp.total) for stamp in stamps_of(broker, 0)] == [(0, 3), (1, 7)]
    assert [(stamp.sequence, stamp.total) for stamp in stamps_of(broker, 1)] == [(0, 5)]


def test_a_key_lands_where_the_producer_would_put_it() -> None:
    broker = broker_with(4)
    writer_on(broker, ManualClock(NOON_US)).send(b"cart", VALUE, 1)
    index = broker.producer().partition_for(TOPIC, b"cart")
    assert [message.key for message in log_of(broker, index)] == [b"cart"]


def test_a_heartbeat_goes_to_every_partition_and_holds_nothing() -> None:
    broker = broker_with(3)
    writer_on(broker, ManualClock(NOON_US)).heartbeat()
    for partition in range(3):
        (message,) = log_of(broker, partition)
        assert (message.key, message.value) == (HEARTBEAT_KEY, None)
        assert Stamp.read(message.headers).total == 0


def test_a_tick_reaches_only_partitions_that_were_silent_for_half_a_second() -> None:
    broker, clock = broker_with(2), ManualClock(NOON_US)
    writer = writer_on(broker, clock)
    writer.tick()
    clock.advance(HEARTBEAT_US - 1)
    writer.send(b"k", VALUE, 1, partition=0)
    clock.advance(1)
    writer.tick()
    assert [len(log_of(broker, partition)) for partition in (0, 1)] == [2, 2]
    assert log_of(broker, 0)[-1].value == VALUE


def test_a_clock_set_back_lowers_no_watermark_and_silences_no_heartbeat() -> None:
    broker, clock = broker_with(1), ManualClock(NOON_US)
    writer = writer_on(broker, clock)
    writer.tick()
    clock.advance(-3_600_000_000)
    writer.tick()
    assert [stamp.watermark_us for stamp in stamps_of(broker)] == [NOON_US, NOON_US]


def test_a_restarted_writer_goes_on_where_the_log_ends() -> None:
    broker, clock = broker_with(2), ManualClock(NOON_US)
    first = writer_on(broker, clock)
    first.send(b"k", VALUE, 10, partition=0)
    first.send(b"k", VALUE, 5, partition=0)
    clock.advance(-1_000_000)  # the machine came back with an older clock
    second = writer_on(broker, clock)
    second.send(b"k", VALUE, 1, partition=0)
    second.send(b"k", VALUE, 1, partition=1)
    last = stamps_of(broker, 0)[-1]
    assert (last.watermark_us, last.sequence, last.total) == (NOON_US, 2, 16)
    assert stamps_of(broker, 1)[-1].sequence == 0


def test_a_restarted_writer_finds_itself_behind_others_and_behind_rubbish() -> None:
    broker, clock = broker_with(1), ManualClock(NOON_US)
    writer_on(broker, clock, "mine").send(b"k", VALUE, 7)
    other = writer_on(broker, clock, "other")
    for _ in range(500):
        other.heartbeat()
    broker.producer().send(TOPIC, key=b"k", value=b"no stamp at all")
    writer_on(broker, clock, "mine").send(b"k", VALUE, 1)
    last = stamps_of_readable(broker)[-1]
    assert (last.writer, last.sequence, last.total) == ("mine", 1, 8)


def stamps_of_readable(broker: MemoryBroker) -> list[Stamp]:
    return [Stamp.read(message.headers) for message in log_of(broker) if message.header("wm")]


def test_a_message_that_was_not_queued_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_with(1)
    writer = writer_on(broker, ManualClock(NOON_US))
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_producer", _FullQueue())
        with pytest.raises(Retryable):
            writer.send(b"k", VALUE, 3, partition=0)
    writer.send(b"k", VALUE, 4, partition=0)
    assert [(stamp.sequence, stamp.total) for stamp in stamps_of(broker)] == [(0, 4)]


class _FullQueue:
    def send(self, *_args: object, **_kwargs: object) -> None:
        msg = "the queue is full"
        raise Retryable(msg)


def test_an_unknown_topic_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput):
        writer_on(MemoryBroker(), ManualClock(NOON_US))


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=-2_000_000, max_value=2_000_000),
            st.integers(min_value=0, max_value=2),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_whatever_clock_and_restarts_do_stamps_never_fall_and_never_skip(
    steps: list[tuple[int, int, bool]],
) -> None:
    broker, clock = broker_with(3), ManualClock(NOON_US)
    writer = writer_on(broker, clock)
    for moved_us, partition, restart in steps:
        clock.advance(moved_us)
        writer = writer_on(broker, clock) if restart else writer
        writer.send(b"k", VALUE, partition + 1, partition=partition)
        writer.tick()
    for partition in range(3):
        stamps = stamps_of(broker, partition)
        assert [stamp.sequence for stamp in stamps] == list(range(len(stamps)))
        assert all(a.watermark_us <= b.watermark_us for a, b in pairwise(stamps))
        assert all(a.total <= b.total for a, b in pairwise(stamps))
