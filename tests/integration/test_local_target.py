"""A tiny topology on this machine: real workloads, real sidecars, real load."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from microservo.adapters.ports import free_ports
from microservo.domain.topology_file import load_topology
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import LocalInstance, read_state
from microservo.platforms.platform import services_of
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually

pytestmark = pytest.mark.integration

START_S = 120
TINY = """
name = "tiny"
entry = "front"
[services.front.endpoints.Home]
calls = [ { service = "back", endpoint = "Get" } ]
[services.back]
replicas = 2
[services.back.endpoints.Get]
response_bytes = 50
[[journeys]]
name = "look"
steps = [ { endpoint = "Home" } ]
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state file of a running target."""
    home = tmp_path_factory.mktemp("target")
    path = home / "tiny.toml"
    path.write_text(TINY)
    with Supervisor() as supervisor:
        runner = LocalTargetRunner(
            supervisor,
            topology=load_topology(TINY, "tiny.toml"),
            topology_path=path,
            state_file=home / "run" / "target.json",
            otlp_url=f"http://127.0.0.1:{free_ports(1)[0]}",
            log_dir=home / "logs",
            seed=7,
            journeys_per_s=5,
        )
        runner.start()
        runner.wait_ready(START_S)
        yield home / "run" / "target.json"
    runner.close()


def ask(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    except OSError:
        return 0
    finally:
        connection.close()


def one(target: Path, instance: str) -> LocalInstance:
    found = read_state(target).instance(instance)
    assert found is not None
    return found


def test_a_tiny_topology_runs_and_a_killed_instance_comes_back(target: Path) -> None:
    platform = LocalPlatform(target)
    assert services_of(platform) == {"front": ["front-0"], "back": ["back-0", "back-1"]}
    assert list(platform.edges()) == [("front", "back")]
    before = one(target, "front-0")
    assert ask(before.sidecar_port, "/Home") == 200

    assert before.pid
    os.kill(before.pid, signal.SIGKILL)
    eventually(
        lambda: one(target, "front-0").pid != before.pid, timeout_s=START_S, what="the state file to show it"
    )
    eventually(lambda: one(target, "front-0").pid, timeout_s=START_S, what="the next process")
    after = one(target, "front-0")
    assert after.started_at_us > before.started_at_us
    assert (after.port, after.control_url) == (before.port, before.control_url)
    assert (after.sidecar_pid, after.sidecar_port) == (before.sidecar_pid, before.sidecar_port)
    eventually(
        lambda: ask(after.sidecar_port, "/Home") == 200, timeout_s=START_S, what="the same port to answer"
    )


def test_the_load_goes_through_the_sidecars(target: Path) -> None:
    def requests(instance: LocalInstance) -> int:
        connection = http.client.HTTPConnection(instance.sidecar_url.removeprefix("http://"), timeout=START_S)
        try:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
        finally:
            connection.close()
        return int(page.partition("\nsidecar_requests_total ")[2].split()[0])

    def all_are_asked() -> bool:
        return all(requests(instance) >= 3 for instance in read_state(target).instances)

    eventually(all_are_asked, timeout_s=START_S, what="load on every instance")
