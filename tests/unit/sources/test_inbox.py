"""The bounded queue between senders and Kafka."""

from __future__ import annotations

import threading
import time
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


def drained_by_another(box: Inbox) -> tuple[threading.Thread, list[Parcel]]:
    """A thread that drains once, and what it gets."""
    drained: list[Parcel] = []
    drainer = threading.Thread(target=lambda: drained.extend(box.drain(60)))
    drainer.start()
    return drainer, drained


def test_a_lone_sender_never_waits_for_company() -> None:
    box = inbox(100)
    for _ in range(3):
        drainer, drained = drained_by_another(box)
        box.put(parcel(1, sender="a"))
        drainer.join(30)
        assert len(drained) == 1


def test_a_reading_waits_for_nobody_and_nobody_for_a_reading() -> None:
    box = inbox(100)
    box.put(parcel(1))
    assert len(box.drain(60)) == 1
    box.put(parcel(1, sender="a"))
    assert len(box.drain(60)) == 1


def test_others_who_have_just_sent_are_waited_for() -> None:
    box = inbox(100, enough_records=100)
    for _ in range(2):
        drainer, drained = drained_by_another(box)
        for sender in ("a", "b", "c"):
            box.put(parcel(1, sender=sender))
        drainer.join(30)
    drainer, drained = drained_by_another(box)
    box.put(parcel(1, sender="a"))
    box.put(parcel(1, sender="b"))
    assert drainer.is_alive()
    box.put(parcel(1, sender="c"))
    drainer.join(30)
    assert len(drained) == 3


def test_those_who_do_not_send_again_are_waited_for_a_moment_only() -> None:
    box = inbox(100, gather_s=0.01, enough_records=100)
    for sender in ("a", "b"):
        box.put(parcel(1, sender=sender))
    box.drain(0)
    box.put(parcel(1, sender="a"))
    assert len(box.drain(60)) == 1


def test_a_second_later_they_are_not_waited_for_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    box = inbox(100)
    for sender in ("a", "b"):
        box.put(parcel(1, sender=sender))
    box.drain(0)
    later_s = time.monotonic() + 1.1
    monkeypatch.setattr("microservo.sources.inbox.time.monotonic", lambda: later_s)
    box.put(parcel(1, sender="a"))
    assert len(box.drain(60)) == 1


def test_much_ends_the_wait_for_others() -> None:
    box = inbox(100)
    for sender in ("a", "b"):
        box.put(parcel(1, sender=sender))
    box.drain(0)
    box.put(parcel(5, sender="a"))
    assert len(box.drain(60)) == 1


def test_a_body_that_cannot_be_read_counts_as_one() -> None:
    body = Undecodable(raw=b"x", content_type="application/json", reason="r")
    assert Parcel(signal="traces", undecodable=body).records == 1
