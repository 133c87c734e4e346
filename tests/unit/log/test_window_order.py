from __future__ import annotations

from collections.abc import Iterable

import pytest

from microservo.adapters.broker import Message, Partition
from microservo.errors import Retryable
from microservo.log.topics import topic_specs
from microservo.log.window_order import UNHEARD_S, WindowOrder
from microservo.testing import MemoryBroker
from schemas.catalogue import FEATURE_WINDOWS
from schemas.codec import encode
from schemas.records import FeatureWindow

SIZE_US = 5_000_000
FIRST, SECOND = (Partition(FEATURE_WINDOWS, index) for index in (0, 1))


class Log:
    """Two partitions of windows on a broker, and what puts them in order, which reads what it is told to."""

    def __init__(self, *, held_bytes: int = 2**20) -> None:
        self.broker = MemoryBroker()
        self.broker.admin().ensure_topics(topic_specs(partitions=2))
        self.consumer = self.broker.consumer(group_id=None)
        self.consumer.assign({FIRST: 0, SECOND: 0})
        self.asked: list[Partition] = []
        self.is_away = False
        self.now_s = 0.0
        self.unread: dict[Partition, list[tuple[Message, FeatureWindow | None]]] = {FIRST: [], SECOND: []}
        self.order = WindowOrder(
            self,  # type: ignore[arg-type]  # of a consumer it asks no more than is here
            {FIRST: 0, SECOND: 0},
            window_us=SIZE_US,
            held_bytes=held_bytes,
            clock=lambda: self.now_s,
        )
        self.paused: set[Partition] = set()

    def offset_range(self, partition: Partition) -> tuple[int, int]:
        self.asked.append(partition)
        if self.is_away:
            msg = "the broker is away"
            raise Retryable(msg)
        return self.consumer.offset_range(partition)

    def pause(self, partitions: Iterable[Partition]) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Iterable[Partition]) -> None:
        self.paused.difference_update(partitions)

    def write(self, partition: Partition, service: str, numbers: Iterable[int]) -> None:
        with self.broker.producer() as producer:
            for number in numbers:
                window = FeatureWindow(
                    run_id="run-1",
                    service=service,
                    start_us=number * SIZE_US,
                    end_us=(number + 1) * SIZE_US,
                    revision=0,
                    names=(),
                    values=(),
                )
                producer.send(
                    FEATURE_WINDOWS,
                    key=service.encode(),
                    value=encode(window),
                    partition=partition.index,
                    on_delivery=lambda message, window=window: self.unread[partition].append(
                        (message, window)
                    ),  # type: ignore[misc]
                )
            producer.flush(1)

    def read(self, partition: Partition, most: int = 1000) -> None:
        queue = self.unread[partition]
        for message, window in queue[:most]:
            self.order.add(message, window)
        del queue[:most]

    def given(self) -> list[tuple[str, int]]:
        """What is due, by service and number."""
        found: list[tuple[str, int]] = []
        while batch := self.order.next_batch(7):
            found += [(each.window.service, each.window.start_us // SIZE_US) for each in batch]
            self.order.done()
        return found


def test_what_lies_on_a_partition_unread_is_waited_for_however_much_of_another_was_read() -> None:
    log = Log()
    log.write(FIRST, "ads", range(100))
    log.write(SECOND, "cart", range(100))
    log.read(FIRST)
    assert log.given() == []
    log.now_s = 3600.0
    assert log.given() == []
    log.read(SECOND, 50)
    assert log.given()[-2:] == [("cart", 49), ("ads", 50)], "one window ahead, and no more"
    log.read(SECOND)
    assert log.given() == [
        (service, number)
        for number in range(50, 100)
        for service in ("ads", "cart")
        if (service, number) != ("ads", 50)
    ]


def test_at_the_ends_of_the_log_no_window_waits_and_no_partition_that_keeps_up_is_asked_about() -> None:
    log = Log()
    for number in range(20):
        log.write(FIRST, "ads", [number])
        log.read(FIRST)
        assert log.given() == [("ads", number)]
        log.write(SECOND, "cart", [number])
        log.read(SECOND)
        assert log.given() == [("cart", number)]
    assert len(log.asked) <= 1


def test_a_partition_that_says_nothing_costs_one_question_a_window() -> None:
    log = Log()
    for number in range(20):
        for service in ("ads", "frontend", "payment"):
            log.write(FIRST, service, [number])
            log.read(FIRST)
            assert log.given() == [(service, number)]
    assert len(log.asked) <= 20
    assert set(log.asked) == {SECOND}


def test_who_is_far_behind_waits_a_moment_for_a_partition_that_never_said_anything() -> None:
    log = Log()
    log.write(FIRST, "ads", range(10))
    log.read(FIRST)
    assert log.given() == []
    log.write(SECOND, "cart", range(10))
    log.now_s = 2 * UNHEARD_S
    assert log.given() == [], "by now there is something"
    log.read(SECOND)
    assert len(log.given()) == 20


def test_that_moment_is_all_that_a_partition_without_services_costs() -> None:
    log = Log()
    log.write(FIRST, "ads", range(100))
    log.read(FIRST)
    assert log.given() == []
    log.now_s = UNHEARD_S
    assert log.given() == [("ads", number) for number in range(100)]


def test_a_message_without_a_window_of_the_run_is_progress_too() -> None:
    log = Log()
    log.write(FIRST, "ads", range(3))
    log.write(SECOND, "other", [0])
    log.read(FIRST)
    assert log.given() == []
    ((message, _),) = log.unread[SECOND]
    log.order.add(message, None)
    assert log.given() == [("ads", number) for number in range(3)]
    assert log.order.next_offsets == {FIRST: 3, SECOND: 1}


def test_a_batch_that_was_not_done_is_given_again_and_a_message_twice_counts_once() -> None:
    log = Log()
    log.write(FIRST, "ads", range(3))
    messages = list(log.unread[FIRST])
    log.read(FIRST)
    for message, window in messages:
        assert log.order.is_known(message)
        log.order.add(message, window)
    assert len(log.order.next_batch(2)) == 2
    assert log.order.next_offsets[FIRST] == 0
    again = log.order.next_batch(2)
    assert [each.message.offset for each in again] == [0, 1]
    log.order.done()
    assert log.order.next_offsets[FIRST] == 2
    assert log.given() == [("ads", 2)]
    assert log.order.held_bytes == 0


def test_a_broker_that_is_away_when_it_is_asked_loses_nothing() -> None:
    log = Log()
    log.write(FIRST, "ads", range(3))
    log.read(FIRST)
    log.is_away = True
    with pytest.raises(Retryable, match="the broker is away"):
        log.given()
    log.is_away = False
    assert log.given() == [("ads", number) for number in range(3)]


def test_what_is_ahead_is_paused_while_too_much_is_held_back() -> None:
    log = Log(held_bytes=10_000)
    log.write(FIRST, "ads", range(100))
    log.write(SECOND, "cart", range(100))
    log.read(FIRST, 10)
    assert log.given() == []
    assert not log.paused
    log.read(FIRST, 20)
    assert log.given() == []
    assert log.paused == {FIRST}
    log.read(SECOND, 20)
    assert log.given()[-1] == ("ads", 20)
    assert log.given() == []
    assert not log.paused
