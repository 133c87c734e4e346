"""Rules act on what telemetry says of real processes: load replicates, and its absence empties a host."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asking_users import use
from live_run import LiveRun
from machine import TIMEOUT_S, Machine, machine_of, state_file
from managers import EUROPE

from microservo.adapters.kafka import KafkaBroker
from microservo.domain.window_policy import WindowPolicy
from microservo.testing import eventually
from schemas.records import ControlEvent

pytestmark = pytest.mark.integration

TOPOLOGY = """
name = "pair"
entry = "front"
[services.front]
type = "frontend"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 60000 }]
[services.back]
[services.back.endpoints.Work]
cpu_ms = 20.0
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""
BUSY_PERCENT, IDLE_PERCENT = 4.0, 2.0
"""Of a host's four processors: users keep `back` above the first on any machine; without them it is idle."""


@pytest.fixture
def machine(kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Machine]:
    live = LiveRun(kafka_broker, topic_prefix, tmp_path, partitions=2, policy=WindowPolicy())
    with (
        live.collector(MICROSERVO_TARGET_STATE=str(state_file(tmp_path))) as collector,
        machine_of(
            kafka_broker, topic_prefix, tmp_path, TOPOLOGY, otlp=f"http://127.0.0.1:{collector.port}"
        ) as found,
    ):
        yield found


def test_load_replicates_a_service_and_without_it_a_host_is_drained_and_released(machine: Machine) -> None:
    world, manager = machine.world, machine.world.client.manager

    def decided(action: str, rule: str) -> list[ControlEvent]:
        return [each for each in manager.events() if (each.action, each.rule) == (action, rule)]

    world.manager()
    manager.create("settings/manager", migration_delay_us=1_000_000)
    world.add_hosts("berlin", "madrid")
    manager.seed(str(machine.topology))
    manager.launch_app("pair", near=EUROPE, finish_s=TIMEOUT_S)
    manager.create("condition/busy", field="cpu-%", operator=">", value=BUSY_PERCENT)
    manager.create("condition/idle", field="cpu-%", operator="<", value=IDLE_PERCENT)
    manager.update("service/front", minimum_replicas=1)
    manager.update("service/back", minimum_replicas=1, maximum_replicas=2)
    manager.create("rule/more", scope="service", generic=True, decision="replicate", conditions=["busy"])

    (front,) = eventually(lambda: machine.addresses("front"), timeout_s=TIMEOUT_S, what="front answers")
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        users = pool.submit(asyncio.run, use(f"http://{front}", stop))
        try:
            eventually(lambda: len(machine.addresses("back")) == 2, timeout_s=TIMEOUT_S, what="two of back")
        finally:
            stop.set()
        assert set(users.result()) == {200}
    (more,) = [each for each in decided("replicate", "more") if each.service == "back"]
    assert more.fields == ("cpu-%",)
    assert more.values[0] > BUSY_PERCENT

    manager.delete("rule/more")
    manager.create("rule/less", scope="service", generic=True, decision="stop", conditions=["idle"])
    manager.create("rule/empty", scope="host", generic=True, decision="underload", conditions=["idle"])
    eventually(lambda: len(machine.addresses("back")) == 1, timeout_s=TIMEOUT_S, what="one of back")
    eventually(lambda: len(world.ready()) == 1, timeout_s=TIMEOUT_S, what="one host is released")
    eventually(
        lambda: [each.name for each in world.driver.hosts()] == sorted(world.ready()),
        timeout_s=TIMEOUT_S,
        what="its machine is stopped",
    )
    assert set(world.running().values()) == world.ready()
    assert machine.is_served()
