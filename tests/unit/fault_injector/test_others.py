"""What others do to the target becomes requests, once."""

from __future__ import annotations

from dataclasses import replace

from microservo.log.reader import read_topic
from microservo.log.topics import topic_specs
from microservo.testing import ManualClock, MemoryBroker
from schemas.catalogue import FAULT_REQUESTS
from schemas.codec import decode_as
from schemas.records import FaultRequest
from services.fault_injector.others import OthersFaults
from tests.unit.fault_injector.harness import PREFIX

DECLARED = FaultRequest(
    fault_id="uid-cart-1", action="declare", requested_at_us=1, kind="podchaos-pod-kill", service="cart"
)
ENDED = replace(DECLARED, action="stop", kind="", service="")


def sent(*seen: FaultRequest, known: tuple[FaultRequest, ...] = ()) -> list[FaultRequest]:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix=PREFIX))
    with broker.producer(linger_ms=0) as producer:
        others = OthersFaults(
            producer, lambda request: request in known, topic_prefix=PREFIX, clock=ManualClock(1)
        )
        for each in seen:
            others.seen(each)
        others.send()
        producer.flush(1)
    messages = read_topic(broker, PREFIX + FAULT_REQUESTS)
    return [decode_as(FaultRequest, message.value or b"") for message in messages]


def test_what_was_seen_is_asked_for_in_its_order() -> None:
    assert sent(DECLARED, ENDED) == [DECLARED, ENDED]


def test_what_an_earlier_process_has_processed_is_not_asked_for_again() -> None:
    assert sent(DECLARED, ENDED, known=(DECLARED,)) == [ENDED]
