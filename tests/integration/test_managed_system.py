"""A managed system: the target is on hosts in three regions, and telemetry and faults go as ever."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from recorded_progress import RecordedProgress

from microservo import Client, RegistryClient
from microservo.adapters.kafka import KafkaBroker
from microservo.platforms.local.state import read_state
from microservo.retry import retry
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.hosts import THREE_REGIONS
from microservo.testing import eventually

pytestmark = pytest.mark.integration

TOPOLOGY = """
name = "pair"
entry = "front"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work" }]
[services.back.endpoints.Work]
cpu_ms = 1.0
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""
TIMEOUT_S = 180.0


@pytest.fixture
def options(
    kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SystemOptions:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    topology = tmp_path / "pair.toml"
    topology.write_text(TOPOLOGY)
    return SystemOptions(
        name=f"managed-{uuid.uuid4().hex[:8]}",
        seed=7,
        journeys_per_s=5.0,
        partitions=2,
        topology=str(topology),
        bootstrap_servers=kafka_bootstrap_servers,
        topic_prefix=topic_prefix,
        algorithms=(),
        hosts=THREE_REGIONS,
    )


def containers(system: EmbeddedSystem) -> dict[str, str]:
    """The hosts of the services that run, as the manager says."""
    found = system.client.manager.list("container")
    return {
        str(each.values["service"]): str(each.values["host"])
        for each in found
        if each.values["state"] == "running"
    }


def test_a_managed_system_has_faults_and_windows_moves_and_begins_again_where_it_ended(
    options: SystemOptions, kafka_broker: KafkaBroker
) -> None:
    # On a busy machine the broker shows new topics late.
    topics = Client(broker=kafka_broker, topic_prefix=options.topic_prefix).topics
    retry(lambda: topics.ensure(partitions=options.partitions), timeout_s=60)
    with EmbeddedSystem(options, RecordedProgress()) as system:
        system.start()
        assert containers(system) == {"front": "edge-berlin", "back": "edge-berlin"}
        client, state_file = system.client, Path(system.file.target_state)
        nodes = {each.name for each in client.manager.list("node") if each.values["is_ready"]}
        assert nodes == {"edge-berlin", "edge-new-york", "edge-tokyo"}

        fault_id = client.faults.request(
            "network-delay", service="back", duration="2s", parameters={"latency": "100ms"}
        )
        client.faults.wait(fault_id, "recovered", timeout_s=TIMEOUT_S)

        (back,) = [each.name for each in client.manager.list("container") if each.values["service"] == "back"]
        client.manager.migrate(back, near=(35.7, 139.7), finish_s=TIMEOUT_S)
        eventually(
            lambda: containers(system) == {"front": "edge-berlin", "back": "edge-tokyo"},
            timeout_s=TIMEOUT_S,
            interval_s=1.0,
            what="the service to have moved",
        )
        # What moved is the target still: telemetry, and what faults find.
        system.wait_for_windows(2)
        eventually(
            lambda: [each.id for each in read_state(state_file).instances if each.id == back] == [],
            timeout_s=TIMEOUT_S,
            what="the old one to be gone",
        )
        with RegistryClient(f"http://127.0.0.1:{system.file.ports['registry-api']}") as registry:
            assert registry.endpoints("registry")
            for service, region in (("front", "Europe"), ("back", "Asia")):
                found = registry.endpoints(service)
                assert [(each.region, each.state) for each in found] == [(region, "up")]
    assert not state_file.exists(), "nothing of the target is left"
    with EmbeddedSystem(options, RecordedProgress()) as system:
        system.start()
        assert containers(system).keys() == {"front", "back"}
