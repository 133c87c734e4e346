from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from microservo.adapters.clock import now_us
from microservo.client.client import Client
from microservo.domain.campaigns.choice import CampaignFault
from microservo.errors import Unavailable
from microservo.log.subscription import Subscription
from microservo.system import demo
from microservo.system.demo import run_campaign, summary
from microservo.testing import MemoryBroker
from schemas.codec import encode
from schemas.records import FaultEvent, FaultRequest, FaultState

PLAN = [
    CampaignFault(kind="cpu-hog", service="cartservice", parameters={}, duration_s=1, gap_s=0),
    CampaignFault(
        kind="network-delay", service="frontend", parameters={"latency": "300ms"}, duration_s=1, gap_s=0
    ),
]


def event_for(request: FaultRequest, version: int, state: FaultState) -> FaultEvent:
    return FaultEvent(
        run_id="run-1",
        fault_id=request.fault_id,
        version=version,
        kind=request.kind,
        service=request.service,
        instance=f"{request.service}-0",
        state=state,
        at_us=now_us(),
        requested_at_us=request.requested_at_us,
        duration_us=request.duration_us,
        parameters={},
        applied_at_us=request.requested_at_us + 50_000,
    )


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    Client(broker=broker).topics.ensure(partitions=1)
    return broker


@pytest.fixture
def answering(broker: MemoryBroker) -> Iterator[list[FaultRequest]]:
    """Stands for the injector: every fault is active and recovered at once."""
    requests: list[FaultRequest] = []
    ending = threading.Event()
    subscription = Subscription(broker, "fault-requests")

    def answer() -> None:
        with subscription, broker.producer() as producer:
            while not ending.is_set():
                received = subscription.poll(0.02)
                if received is None or not isinstance(received.record, FaultRequest):
                    continue
                requests.append(received.record)
                for version, state in enumerate(("active", "recovered"), start=1):
                    event = event_for(received.record, version, state)  # type: ignore[arg-type]
                    producer.send("fault-events", key=event.fault_id.encode(), value=encode(event))

    thread = threading.Thread(target=answer)
    thread.start()
    yield requests
    ending.set()
    thread.join()


def test_faults_come_one_after_another_as_planned(
    broker: MemoryBroker, answering: list[FaultRequest], progress: Any
) -> None:
    run_campaign(Client(broker=broker), "run-x", PLAN, progress)
    assert [(each.kind, each.service, each.duration_us) for each in answering] == [
        ("cpu-hog", "cartservice", 1_000_000),
        ("network-delay", "frontend", 1_000_000),
    ]
    assert len({each.fault_id for each in answering}) == 2
    assert [stage.title for stage in progress.stages] == [
        "fault 1/2: cpu-hog on cartservice",
        "fault 2/2: network-delay on frontend latency=300ms",
    ]
    assert all("recovered, applied +0.05 s" in stage.texts[-1] for stage in progress.stages)


def test_silence_of_the_injector_is_an_error(
    broker: MemoryBroker, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_GRACE_S", -1.0)
    with pytest.raises(Unavailable, match="is the injector running"):
        run_campaign(Client(broker=broker), "run-x", PLAN, progress)


def test_the_summary_has_the_newest_state_with_its_times_after_the_request() -> None:
    request = FaultRequest(fault_id="f", action="inject", requested_at_us=1_000_000, kind="k", service="s")
    active = event_for(request, 2, "active")
    assert summary([]) == "requested"
    assert summary([event_for(request, 1, "applying"), active]) == "active, applied +0.05 s"
    failed = replace(active, version=3, state="failed", reason="refused", applied_at_us=None)
    assert summary([failed]) == "failed (refused)"
