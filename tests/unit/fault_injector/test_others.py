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


def sent(
    *seen: FaultRequest, known: tuple[FaultRequest, ...] = (), run_from_us: int = 0
) -> list[FaultRequest]:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix=PREFIX))
    with broker.producer(linger_ms=0) as producer:
        others = OthersFaults(
            producer,
            lambda request: request in known,
            topic_prefix=PREFIX,
            run_from_us=run_from_us,
            clock=ManualClock(1),
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


def test_what_was_over_when_the_run_began_is_none_of_its_faults() -> None:
    over = replace(DECLARED, start_at_us=10, end_at_us=20)
    assert sent(over, replace(ENDED, end_at_us=20), run_from_us=20) == []


def test_what_was_in_force_when_the_run_began_is_in_force_in_it_from_its_beginning() -> None:
    before = replace(DECLARED, start_at_us=1_500_000, end_at_us=9_000_000, parameters={"object": "shop/slow"})
    (found,) = sent(before, run_from_us=4_000_000)
    since = {"object": "shop/slow", "in_force_since": "1970-01-01T00:00:01.500+00:00"}
    assert found == replace(before, start_at_us=4_000_000, parameters=since)
