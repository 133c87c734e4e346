from __future__ import annotations

import logging

import pytest
from prometheus_client import REGISTRY

from microservo.adapters.broker import Message, Partition, TopicSpec
from microservo.log.dead_letters import DeadLetters
from microservo.testing import MemoryBroker
from schemas.catalogue import MAX_MESSAGE_BYTES

LIMIT = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}


def broker_with_dead_letters() -> MemoryBroker:
    broker = MemoryBroker()
    names = ("lab-fault-requests-dlq", "lab-telemetry-logs-dlq")
    broker.admin().ensure_topics([TopicSpec(name=name, partitions=1, config=LIMIT) for name in names])
    return broker


def last_on(broker: MemoryBroker, topic: str) -> Message:
    with broker.consumer(group_id=None) as consumer:
        where = Partition(topic, 0)
        consumer.assign({where: consumer.offset_range(where)[1] - 1})
        return consumer.consume(1, 1)[0]


def letters_so_far(reason: str) -> float:
    """How many of one topic were counted so far, by reason."""
    labels = {"topic": "fault-requests", "reason": reason}
    return REGISTRY.get_sample_value("microservo_dead_letters_total", labels) or 0.0


def rejected(key: bytes | None, value: bytes | None) -> Message:
    return Message(
        topic="lab-fault-requests",
        partition=3,
        offset=41,
        timestamp_us=1,
        key=key,
        value=value,
        headers=(("run", b"run-1"), ("run", b"\xff twice")),
    )


def test_a_dead_letter_keeps_key_bytes_and_headers_and_says_where_and_why() -> None:
    broker = broker_with_dead_letters()
    before = letters_so_far("body does not follow schema id #")
    message = rejected(b"\x00key", b"\xff\xfebroken")
    DeadLetters(broker.producer(), "lab-").reject(message, "body does not follow schema id 1")
    letter = last_on(broker, "lab-fault-requests-dlq")
    assert (letter.key, letter.value) == (message.key, message.value)
    assert letter.headers[:2] == message.headers
    assert letter.header("dlq_topic") == b"lab-fault-requests"
    assert (letter.header("dlq_partition"), letter.header("dlq_offset")) == (b"3", b"41")
    assert letter.header("dlq_reason") == b"body does not follow schema id 1"
    assert letters_so_far("body does not follow schema id #") == before + 1


def test_a_tombstone_stays_a_tombstone() -> None:
    broker = broker_with_dead_letters()
    DeadLetters(broker.producer(), "lab-").reject(rejected(b"k", None), "no value")
    assert last_on(broker, "lab-fault-requests-dlq").value is None


def test_a_value_that_leaves_no_room_for_the_reason_is_cut_and_the_cut_is_recorded() -> None:
    broker = broker_with_dead_letters()
    value = b"x" * MAX_MESSAGE_BYTES
    DeadLetters(broker.producer(), "lab-").reject(rejected(b"k", value), "too large" * 1000)
    letter = last_on(broker, "lab-fault-requests-dlq")
    assert letter.value is not None
    assert len(letter.value) + int(letter.header("dlq_truncated_bytes") or b"0") == MAX_MESSAGE_BYTES


def test_a_key_that_fills_the_message_leaves_at_least_its_coordinates() -> None:
    broker = broker_with_dead_letters()
    DeadLetters(broker.producer(), "lab-").reject(rejected(b"k" * (MAX_MESSAGE_BYTES - 100), b"v"), "odd")
    letter = last_on(broker, "lab-fault-requests-dlq")
    assert (letter.key, letter.header("dlq_offset"), letter.header("dlq_reason")) == (None, b"41", b"odd")
    assert int(letter.header("dlq_truncated_bytes") or b"0") >= MAX_MESSAGE_BYTES - 100


def test_bytes_that_never_were_a_message_are_kept_with_their_type() -> None:
    broker = broker_with_dead_letters()
    DeadLetters(broker.producer(), "lab-").reject_bytes(
        "telemetry-logs", b"{half", "no JSON", "application/json"
    )
    letter = last_on(broker, "lab-telemetry-logs-dlq")
    assert (letter.key, letter.value) == (None, b"{half")
    assert letter.header("content-type") == b"application/json"
    assert letter.header("dlq_topic") == b"lab-telemetry-logs"


def test_a_flood_is_one_line_a_minute_for_each_topic_and_reason_and_says_how_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = [0.0]
    letters = DeadLetters(broker_with_dead_letters().producer(), "lab-", clock_s=lambda: now_s[0])
    caplog.set_level(logging.WARNING)
    before = letters_so_far("record # is bad")
    letters.reject_bytes("telemetry-logs", b"{half", "of another topic")
    for number, at_s in enumerate([0.0, 1.0, 59.9, 60.0, 61.0, 200.0]):
        now_s[0] = at_s
        letters.reject(rejected(b"k", b"v"), f"record {number} is bad")
    letters.reject(rejected(b"k", b"v"), "it has no name")
    assert [record.getMessage() for record in caplog.records] == [
        "dead letter: of another topic",
        "dead letter: record 0 is bad",
        "dead letter: record 3 is bad (and 2 more since the line before)",
        "dead letter: record 5 is bad (and 1 more since the line before)",
        "dead letter: it has no name",
    ]
    assert letters_so_far("record # is bad") == before + 6


def test_reasons_without_end_are_counted_under_a_hundred_names() -> None:
    letters = DeadLetters(broker_with_dead_letters().producer(), "lab-")
    before = letters_so_far("other")
    for number in range(150):
        letters.reject(rejected(b"k", b"v"), "x" * (number + 1))
    assert letters_so_far("other") == before + 50
