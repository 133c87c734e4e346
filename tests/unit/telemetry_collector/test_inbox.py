"""The bounded queue between senders and Kafka."""

from __future__ import annotations

import threading

import pytest

from microservo.adapters.otlp.checks import Refused
from services.telemetry_collector.inbox import Inbox, InboxFull, Parcel, Undecodable


def parcel(records: int) -> Parcel:
    return Parcel(signal="logs", refused=[Refused(reason="r", document=b"{}")] * records)


def test_records_count_until_they_are_durable() -> None:
    inbox = Inbox(10, 10)
    inbox.put(parcel(6))
    taken = inbox.take(0)
    assert inbox.records == 6
    with pytest.raises(InboxFull, match="6 of 10 records wait for Kafka; send these 5 again later"):
        inbox.put(parcel(5))
    inbox.settle(taken)
    assert inbox.records == 0
    assert taken[0].durable.is_set()
    inbox.put(parcel(5))


def test_what_was_taken_is_not_taken_again() -> None:
    inbox = Inbox(10, 10)
    inbox.put(parcel(1))
    assert len(inbox.take(0)) == 1
    assert inbox.take(0) == []


def test_an_empty_queue_takes_a_parcel_of_any_size() -> None:
    inbox = Inbox(10, 10)
    inbox.put(parcel(11))
    assert inbox.is_full


def test_much_ends_the_wait_of_the_taker() -> None:
    inbox = Inbox(100, 5)
    taken: list[Parcel] = []
    taker = threading.Thread(target=lambda: taken.extend(inbox.take(60)))
    taker.start()
    for _ in range(5):
        inbox.put(parcel(1))
    taker.join(30)
    assert len(taken) == 5


def test_a_body_that_cannot_be_read_counts_as_one() -> None:
    body = Undecodable(raw=b"x", content_type="application/json", reason="r")
    assert Parcel(signal="traces", undecodable=body).records == 1
