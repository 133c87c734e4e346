from __future__ import annotations

import threading

import pytest

from microservo.application.following import FollowedFault
from microservo.client import Client
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.testing import MemoryBroker
from schemas.codec import encode
from schemas.records import FaultEvent, FaultState

TOPIC = "fault-events"


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    Client(broker=broker).topics.ensure(partitions=1)
    return broker


def an_event(
    version: int, state: FaultState, *, instance: str = "", fault_id: str = "f", requested_at_us: int = 7
) -> FaultEvent:
    return FaultEvent(
        run_id="run-1",
        fault_id=fault_id,
        version=version,
        kind="cpu-hog",
        service="cart",
        instance=instance,
        state=state,
        at_us=requested_at_us + version,
        requested_at_us=requested_at_us,
        duration_us=1_000_000,
        parameters={},
        reason="out of memory" if state in ("failed", "rejected") else "",
    )


def put(broker: MemoryBroker, *events: FaultEvent) -> None:
    with broker.producer() as producer:
        for event in events:
            producer.send(TOPIC, key=event.fault_id.encode(), value=encode(event))


STORY = (
    an_event(1, "requested"),
    an_event(2, "applying", instance="cart-0"),
    an_event(3, "applying", instance="cart-1"),
    an_event(4, "active", instance="cart-0"),
    an_event(5, "active", instance="cart-1"),
    an_event(6, "recovered", instance="cart-0"),
    an_event(7, "recovered", instance="cart-1"),
)


def versions(followed: FollowedFault) -> list[int]:
    with followed:
        return [event.version for event in followed.events(timeout_s=20)]


def test_events_before_and_after_the_following_began_come_once_each(broker: MemoryBroker) -> None:
    put(broker, *STORY[:4])
    followed = FollowedFault(broker, TOPIC, "f")
    put(broker, *STORY[3:], an_event(9, "active", fault_id="other"))
    assert versions(followed) == [1, 2, 3, 4, 5, 6, 7]


def test_of_a_fault_long_ago_the_newest_events_are_known(broker: MemoryBroker) -> None:
    put(broker, *(an_event(1, "requested", fault_id=f"g-{number}") for number in range(1500)))
    followed = FollowedFault(
        broker, TOPIC, "f", known=lambda: [*STORY[5:], an_event(8, "active", fault_id="g")]
    )
    assert versions(followed) == [6, 7]
    assert followed.is_over
    assert followed.has_reached("recovered")


def test_a_fault_that_fails_on_one_instance_is_not_waited_for_on_the_others(broker: MemoryBroker) -> None:
    put(broker, *STORY[:4], an_event(5, "failed", instance="cart-1"))
    with (
        FollowedFault(broker, TOPIC, "f") as followed,
        pytest.raises(MicroServoError, match=r"fault f failed on cart-1: out of memory"),
    ):
        followed.wait_for("active", timeout_s=20)


def test_an_id_that_was_rejected_can_be_requested_again_and_followed(broker: MemoryBroker) -> None:
    put(broker, an_event(1, "rejected"))
    with (
        FollowedFault(broker, TOPIC, "f") as followed,
        pytest.raises(InvalidInput, match="was rejected: out of memory"),
    ):
        followed.wait_for("active", timeout_s=20)
    again = threading.Timer(0.2, put, (broker, an_event(2, "active", instance="cart-0", requested_at_us=9)))
    again.start()
    with FollowedFault(broker, TOPIC, "f", requested_at_us=9) as followed:
        assert followed.wait_for("active", timeout_s=20).version == 2
    again.join()


def test_silence_names_the_last_event(broker: MemoryBroker) -> None:
    put(broker, *STORY[:5])
    with FollowedFault(broker, TOPIC, "f") as followed:
        with pytest.raises(Unavailable, match=r"within 0.1 s: it is cart-0 active, cart-1 active"):
            followed.wait_for("recovered", timeout_s=0.1)
        with pytest.raises(Unavailable, match=r"was not over within 0 s"):
            list(followed.events(timeout_s=0))
    with (
        FollowedFault(broker, TOPIC, "g") as followed,
        pytest.raises(Unavailable, match="is the injector running"),
    ):
        followed.wait_for("active", timeout_s=0.1)
