"""The bounded queue between senders and Kafka."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from microservo.adapters.otlp.checks import Refused
from microservo.sources.inbox import Inbox
from microservo.sources.source import Parcel, SinkFull, Undecodable


def parcel(records: int, durable: Callable[[], None] = lambda: None, *, sender: str = "") -> Parcel:
    refused = [Refused(reason="r", document=b"{}")] * records
    return Parcel(signal="logs", refused=refused, durable=durable, sender=sender)


def inbox(limit_records: int = 10, *, gather_s: float = 60, enough_records: int = 5) -> Inbox:
    return Inbox("test", limit_records, gather_s=gather_s, enough_records=enough_records)


def test_records_count_until_they_are_durable() -> None:
    ends: list[str] = []
    box = inbox()
    box.put(parcel(6, lambda: ends.append("durable")))
    drained = box.drain(0)
    assert box.records == 6
    with pytest.raises(SinkFull, match="6 of 10 records wait for Kafka; send these 5 again later"):
        box.put(parcel(5))
    box.settle(drained)
    assert box.records == 0
    assert ends == ["durable"]
    box.put(parcel(5))


def test_what_was_drained_is_not_drained_again() -> None:
    box = inbox()
    box.put(parcel(1))
    assert len(box.drain(0)) == 1
    assert box.drain(0) == []


def test_an_empty_queue_takes_a_parcel_of_any_size() -> None:
    box = inbox()
    box.put(parcel(11))
    assert box.is_full


class Clock:
    """Stands in for the clock that never falls."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("microservo.sources.inbox.time", clock)
    return clock


def answered_together(box: Inbox, *senders: str) -> int:
    """How many parcels are handed out once these senders have each put one; they are answered."""
    for sender in senders:
        box.put(parcel(1, sender=sender))
    drained = box.drain(60)
    box.settle(drained)
    return len(drained)


def test_a_lone_sender_never_waits_for_others(clock: Clock) -> None:
    box = inbox(100)
    for _ in range(3):
        assert answered_together(box, "a") == 1
        clock.now_s += 0.5


def test_a_reading_waits_for_nobody_and_nobody_for_a_reading(clock: Clock) -> None:
    box = inbox(100)
    box.put(parcel(1))
    assert len(box.drain(60)) == 1
    assert answered_together(box, "a") == 1


def test_who_waits_for_each_answer_does_not_wait_for_those_who_send_on_an_interval(clock: Clock) -> None:
    box = inbox(100)
    assert answered_together(box, "now and then", "one after the other") == 2
    for _ in range(3):
        clock.now_s += 0.01
        assert answered_together(box, "one after the other") == 1


def test_all_who_wait_for_each_answer_go_together(clock: Clock) -> None:
    box = inbox(100, enough_records=100)
    names = [f"sender {number}" for number in range(64)]
    for name in names:
        box.put(parcel(1, sender=name))
    box.settle(box.drain(60))
    for _ in range(3):
        clock.now_s += 0.01
        assert answered_together(box, *names) == 64


def test_who_sends_on_an_interval_waits_for_others(clock: Clock) -> None:
    box = inbox(100)
    answered_together(box, "a", "b")
    clock.now_s += 0.5
    drained: list[Parcel] = []
    drainer = threading.Thread(target=lambda: drained.extend(box.drain(60)))
    drainer.start()
    box.put(parcel(1, sender="a"))
    assert drainer.is_alive()
    box.put(parcel(1, sender="b"))
    drainer.join(30)
    assert len(drained) == 2


def test_that_wait_is_short(clock: Clock) -> None:
    box = inbox(100, gather_s=0.01)
    answered_together(box, "a", "b")
    clock.now_s += 0.5
    assert answered_together(box, "a") == 1


def test_who_has_gone_is_not_waited_for(clock: Clock) -> None:
    box = inbox(100)
    answered_together(box, "a", "b")
    clock.now_s += 1.1
    assert answered_together(box, "a") == 1


def test_much_ends_the_wait_for_others(clock: Clock) -> None:
    box = inbox(100, enough_records=5)
    answered_together(box, "a", "b")
    clock.now_s += 0.5
    box.put(parcel(5, sender="a"))
    assert len(box.drain(60)) == 1


def test_a_body_that_cannot_be_read_counts_as_one() -> None:
    body = Undecodable(raw=b"x", content_type="application/json", reason="r")
    assert Parcel(signal="traces", undecodable=body).records == 1
