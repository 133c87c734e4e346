from __future__ import annotations

from pathlib import Path

import pytest

from microservo.errors import Unavailable
from microservo.system.first_telemetry import FirstTelemetry
from microservo.system.options import SystemOptions
from microservo.system.run_record import ensure_topics
from microservo.testing import MemoryBroker
from schemas.envelope import HEARTBEAT_KEY

SERVICES = ("cart", "front", "mail")


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    ensure_topics(broker, SystemOptions(partitions=2, topic_prefix="lab-"))
    return broker


def send(broker: MemoryBroker, topic: str, *services: str) -> None:
    with broker.producer() as producer:
        for service in services:
            producer.send(f"lab-{topic}", key=service.encode(), value=b"a batch")


def test_a_span_or_a_line_of_each_service_is_enough(broker: MemoryBroker) -> None:
    counts: list[tuple[int, int]] = []
    with FirstTelemetry(broker, "lab-", SERVICES) as telemetry:
        send(broker, "telemetry-traces", "front", "cart")
        send(broker, "telemetry-logs", "mail", "front")
        telemetry.wait(30, Path("logs"), lambda done, total: counts.append((done, total)))
    assert counts[-1] == (3, 3)


def test_services_that_say_nothing_are_named_though_the_host_measures_them(broker: MemoryBroker) -> None:
    send(broker, "telemetry-logs", "cart")  # of an earlier run
    with FirstTelemetry(broker, "lab-", SERVICES) as telemetry:
        send(broker, "telemetry-metrics", *SERVICES)
        send(broker, "telemetry-logs", "front", HEARTBEAT_KEY.decode())
        with pytest.raises(Unavailable) as silent:
            telemetry.wait(0.5, Path("logs"), lambda done, total: None)
    assert str(silent.value) == (
        "no span or log line came from cart, mail within 0.5 s (2 of 3 services); "
        "the logs in logs may tell why"
    )
