"""The bounded queue between senders and Kafka."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from microservo.adapters.otlp.checks import Refused
from microservo.sources.inbox import Inbox
from microservo.sources.source import Parcel, SinkFull, Undecodable


def parcel(records: int, durable: Callable[[], None] = lambda: None) -> Parcel:
    refused = [Refused(reason="r", document=b"{}")] * records
    return Parcel(signal="logs", refused=refused, durable=durable)


def test_records_count_until_they_are_durable() -> None:
    ends: list[str] = []
    inbox = Inbox("test", 10, 10)
    inbox.put(parcel(6, lambda: ends.append("durable")))
    drained = inbox.drain(0)
    assert inbox.records == 6
    with pytest.raises(SinkFull, match="6 of 10 records wait for Kafka; send these 5 again later"):
        inbox.put(parcel(5))
    inbox.settle(drained)
    assert inbox.records == 0
    assert ends == ["durable"]
    inbox.put(parcel(5))


def test_what_was_drained_is_not_drained_again() -> None:
    inbox = Inbox("test", 10, 10)
    inbox.put(parcel(1))
    assert len(inbox.drain(0)) == 1
    assert inbox.drain(0) == []


def test_an_empty_queue_takes_a_parcel_of_any_size() -> None:
    inbox = Inbox("test", 10, 10)
    inbox.put(parcel(11))
    assert inbox.is_full


def test_much_ends_the_wait_of_the_drainer() -> None:
    inbox = Inbox("test", 100, 5)
    drained: list[Parcel] = []
    drainer = threading.Thread(target=lambda: drained.extend(inbox.drain(60)))
    drainer.start()
    for _ in range(5):
        inbox.put(parcel(1))
    drainer.join(30)
    assert len(drained) == 5


def test_a_body_that_cannot_be_read_counts_as_one() -> None:
    body = Undecodable(raw=b"x", content_type="application/json", reason="r")
    assert Parcel(signal="traces", undecodable=body).records == 1
