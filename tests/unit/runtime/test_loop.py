from __future__ import annotations

from collections.abc import Callable

import pytest

from microservo.adapters.broker import Message, Partition, TopicSpec
from microservo.adapters.memory import MemoryBroker
from microservo.adapters.memory.consumer import MemoryConsumer
from microservo.errors import Fatal, Retryable
from microservo.runtime import loop
from microservo.runtime.loop import consume_loop, next_offsets
from microservo.runtime.shutdown import Shutdown

TOPIC = "fault-requests"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FIRST_BACK_OFF_S", 0.001)


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name=TOPIC, partitions=1, config={})])
    with broker.producer() as producer:
        for number in range(5):
            producer.send(TOPIC, key=b"k", value=b"%d" % number)
    return broker


def run(
    broker: MemoryBroker,
    handle: Callable[[list[Message]], None],
    shutdown: Shutdown,
    *,
    on_idle: Callable[[], None] | None = None,
    commit: bool = True,
) -> None:
    consumer = broker.consumer(group_id="g")
    consumer.subscribe([TOPIC])
    consume_loop(
        consumer,
        handle,
        shutdown=shutdown,
        max_messages=2,
        timeout_s=0.01,
        on_idle=on_idle,
        commit=commit,
    )


def left_for_the_group(broker: MemoryBroker) -> list[bytes | None]:
    with broker.consumer(group_id="g") as consumer:
        consumer.subscribe([TOPIC])
        found: list[Message] = []
        for _ in range(5):
            found += consumer.consume(10, 0.01)
        return [message.value for message in found]


def test_batches_are_handled_in_order_and_committed() -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name=TOPIC, partitions=1, config={})])
    for number in range(5):
        broker.producer().send(TOPIC, key=b"k", value=b"%d" % number)
    shutdown, seen = Shutdown(()), list[bytes | None]()

    def handle(batch: list[Message]) -> None:
        assert 0 < len(batch) <= 2
        seen.extend(message.value for message in batch)
        if len(seen) == 5:
            shutdown.request()

    run(broker, handle, shutdown)
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert left_for_the_group(broker) == []


def test_a_batch_that_fails_for_now_is_given_again_whole(broker: MemoryBroker) -> None:
    shutdown, given = Shutdown(()), list[list[int]]()

    def handle(batch: list[Message]) -> None:
        given.append([message.offset for message in batch])
        if len(given) < 3:
            msg = "the broker is away"
            raise Retryable(msg)
        shutdown.request()

    run(broker, handle, shutdown)
    assert given == [[0, 1], [0, 1], [0, 1]]
    assert left_for_the_group(broker) == [b"2", b"3", b"4"]


def test_a_fatal_error_leaves_the_batch_uncommitted(broker: MemoryBroker) -> None:
    def handle(_batch: list[Message]) -> None:
        msg = "an acknowledged message is missing"
        raise Fatal(msg)

    with pytest.raises(Fatal):
        run(broker, handle, Shutdown(()))
    assert left_for_the_group(broker) == [b"0", b"1", b"2", b"3", b"4"]


def test_shutdown_during_a_failing_batch_commits_nothing(broker: MemoryBroker) -> None:
    shutdown = Shutdown(())

    def handle(_batch: list[Message]) -> None:
        shutdown.request()
        msg = "not now"
        raise Retryable(msg)

    run(broker, handle, shutdown)
    assert left_for_the_group(broker) == [b"0", b"1", b"2", b"3", b"4"]


def test_nothing_is_committed_where_the_position_is_kept_elsewhere(broker: MemoryBroker) -> None:
    shutdown = Shutdown(())
    run(broker, lambda _batch: shutdown.request(), shutdown, commit=False)
    assert len(left_for_the_group(broker)) == 5


def test_housekeeping_goes_on_without_messages_and_survives_its_own_failures(broker: MemoryBroker) -> None:
    shutdown, rounds = Shutdown(()), list[int]()

    def on_idle() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 10:
            shutdown.request()
        msg = "queue full"
        raise Retryable(msg)

    run(broker, lambda _batch: None, shutdown, on_idle=on_idle)
    assert len(rounds) == 10


class Patient(MemoryConsumer):
    """A consumer that remembers how it was asked, and fails for now the second time."""

    def __init__(self, consumer: MemoryConsumer) -> None:
        self._consumer = consumer
        self.asked: list[tuple[int, float]] = []

    def consume(self, max_messages: int, timeout_s: float) -> list[Message]:
        self.asked.append((max_messages, timeout_s))
        if len(self.asked) == 2:
            msg = "the broker is busy"
            raise Retryable(msg)
        return self._consumer.consume(max_messages, timeout_s)

    def close(self) -> None:
        self._consumer.close()


def test_a_long_wait_for_the_first_message_lets_no_message_wait_and_loses_none(broker: MemoryBroker) -> None:
    shutdown, seen = Shutdown(()), list[bytes | None]()
    consumer = broker.consumer(group_id=None)
    consumer.assign({Partition(TOPIC, 0): 0})
    patient = Patient(consumer)

    def handle(batch: list[Message]) -> None:
        assert 0 < len(batch) <= 2
        seen.extend(message.value for message in batch)
        if len(seen) == 5:
            shutdown.request()

    consume_loop(
        patient, handle, shutdown=shutdown, max_messages=2, timeout_s=0.001, idle_s=60.0, commit=False
    )
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert {each for each in patient.asked} == {(1, 60.0), (1, 0.001)}


def test_a_commit_that_fails_for_now_does_not_repeat_the_effect(broker: MemoryBroker) -> None:
    shutdown, effects, commits = Shutdown(()), list[int](), list[int]()
    consumer = broker.consumer(group_id="g")
    consumer.subscribe([TOPIC])
    real_commit = consumer.commit

    def commit(positions: dict[Partition, int]) -> None:
        commits.append(1)
        if len(commits) == 1:
            msg = "the coordinator moves"
            raise Retryable(msg)
        real_commit(positions)
        shutdown.request()

    consumer.commit = commit  # type: ignore[method-assign, assignment]
    consume_loop(
        consumer, lambda batch: effects.append(len(batch)), shutdown=shutdown, max_messages=5, timeout_s=0.01
    )
    assert (effects, len(commits)) == ([5], 2)


def test_a_commit_that_never_succeeds_does_not_stop_the_reading(broker: MemoryBroker) -> None:
    shutdown, seen = Shutdown(()), list[int]()
    consumer = broker.consumer(group_id="g")
    consumer.subscribe([TOPIC])

    def commit(_positions: dict[Partition, int]) -> None:
        msg = "the partition is not this member's any more"
        raise Retryable(msg)

    def handle(batch: list[Message]) -> None:
        seen.extend(message.offset for message in batch)
        if len(seen) == 5:
            shutdown.request()

    consumer.commit = commit  # type: ignore[method-assign, assignment]
    consume_loop(consumer, handle, shutdown=shutdown, max_messages=2, timeout_s=0.01)
    assert seen == [0, 1, 2, 3, 4]


def test_next_offsets_are_one_past_the_last_of_each_partition() -> None:
    batch = [
        Message(topic="t", partition=partition, offset=offset, timestamp_us=0, key=None, value=None)
        for partition, offset in [(0, 4), (1, 9), (0, 5)]
    ]
    assert next_offsets(batch) == {Partition("t", 0): 6, Partition("t", 1): 10}
