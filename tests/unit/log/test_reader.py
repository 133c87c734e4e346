"""The one reader of topics: whole, since an instant, the newest messages, the newest of each key."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from microservo.adapters.broker import TopicSpec
from microservo.errors import InvalidInput
from microservo.log.reader import read_state, read_topic, tail
from microservo.log.subscription import Subscription
from microservo.testing import ManualClock, MemoryBroker
from schemas.codec import encode
from schemas.envelope import HEARTBEAT_KEY
from schemas.records import Experiment, ServiceGraph

TOPIC = "facts"
NOON_US = 1_800_000_000_000_000
SECOND_US = 1_000_000


class Topic:
    """A topic with two partitions whose messages are numbered, one a second from noon on."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON_US)
        self.broker = MemoryBroker(self.clock)
        self.broker.admin().ensure_topics([TopicSpec(name=TOPIC, partitions=2, config={})])
        self.producer = self.broker.producer()

    def fill(self, count: int) -> None:
        for number in range(count):
            self.producer.send(TOPIC, key=None, value=b"%d" % number, partition=number % 2)
            self.clock.advance(SECOND_US)

    def put(self, key: str, record: object | None) -> None:
        value = None if record is None else encode(record)
        self.producer.send(TOPIC, key=key.encode(), value=value, partition=0)


@pytest.fixture
def topic() -> Iterator[Topic]:
    made = Topic()
    with made.producer:
        yield made


def run(run_id: str, **changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "run_id": run_id,
        "status": "running",
        "seed": 7,
        "target": "online-boutique",
        "started_at_us": NOON_US,
        "window_us": 1,
        "first_cut_us": 1,
        "final_cut_us": 1,
        "start_offsets": {},
        "end_offsets": {},
        "versions": {},
    }
    return Experiment(**fields | changes)


def test_a_topic_is_read_to_where_it_ends_now(topic: Topic) -> None:
    topic.fill(10)
    assert sorted(int(each.value or b"") for each in read_topic(topic.broker, TOPIC)) == list(range(10))


def test_reading_since_an_instant_leaves_out_what_was_written_before(topic: Topic) -> None:
    topic.fill(10)
    found = read_topic(topic.broker, TOPIC, start=NOON_US + 6 * SECOND_US)
    assert sorted(int(each.value or b"") for each in found) == [6, 7, 8, 9]


def test_an_instant_after_everything_reads_nothing(topic: Topic) -> None:
    topic.fill(10)
    assert list(read_topic(topic.broker, TOPIC, start=NOON_US + 60 * SECOND_US)) == []


def test_the_tail_is_the_newest_messages_of_each_partition_in_their_order(topic: Topic) -> None:
    topic.fill(20)
    found = [(each.partition, int(each.value or b"")) for each in tail(topic.broker, TOPIC, 2)]
    assert sorted(found) == [(0, 16), (0, 18), (1, 17), (1, 19)]
    assert [value for partition, value in found if partition == 0] == [16, 18]


def test_the_tail_of_a_short_topic_is_all_of_it(topic: Topic) -> None:
    topic.fill(3)
    assert len(tail(topic.broker, TOPIC, 50)) == 3


def test_a_state_is_the_newest_record_of_each_key_without_the_removed(topic: Topic) -> None:
    for key, record in (("a", run("a")), ("b", run("b")), ("a", run("a", status="finished")), ("b", None)):
        topic.put(key, record)
    assert read_state(topic.broker, TOPIC, Experiment) == {"a": run("a", status="finished")}


def test_what_is_unreadable_leaves_the_record_before_it_in_place_and_is_counted(
    topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    topic.put("a", run("a"))
    topic.producer.send(TOPIC, key=b"a", value=b"garbage", partition=0)
    topic.put(
        "a", ServiceGraph(run_id="r", start_us=0, end_us=1, callers=(), callees=(), calls=(), errors=())
    )
    with caplog.at_level(logging.WARNING):
        assert read_state(topic.broker, TOPIC, Experiment) == {"a": run("a")}
    assert "passed over 2 unreadable messages of facts" in caplog.text


def test_a_topic_that_is_not_there_is_refused(topic: Topic) -> None:
    with pytest.raises(InvalidInput):
        list(read_topic(topic.broker, "nowhere"))


def test_a_subscription_until_the_end_ends_there_without_heartbeats(topic: Topic) -> None:
    topic.put("a", run("a"))
    topic.producer.send(TOPIC, key=HEARTBEAT_KEY, value=None, partition=1)
    with Subscription(topic.broker, TOPIC, start="earliest", until_end=True) as received:
        topic.put("b", run("b"))
        assert [each.record for each in received] == [run("a")]
        assert received.poll(0.0) is None


def test_a_subscription_goes_on_with_what_arrives_later(topic: Topic) -> None:
    topic.put("a", run("a"))
    with Subscription(topic.broker, TOPIC, start=datetime.fromtimestamp(NOON_US / 1e6, UTC)) as received:
        assert next(received).record == run("a")
        assert received.poll(0.0) is None
        topic.put("b", run("b"))
        assert next(received).record == run("b")


def test_a_group_goes_on_behind_what_was_taken_and_asked_for_more(topic: Topic) -> None:
    for name in ("a", "b", "c"):
        topic.put(name, run(name))
    with Subscription(topic.broker, TOPIC, start="earliest", group_id="g") as received:
        assert [next(received).record for _ in range(3)] == [run("a"), run("b"), run("c")]
        assert received.poll(0.0) is None
    topic.put("d", run("d"))
    with Subscription(topic.broker, TOPIC, start="earliest", group_id="g") as received:
        assert next(received).record == run("d")
