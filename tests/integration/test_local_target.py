"""A tiny topology on this machine: real workloads, real sidecars, real load."""

from __future__ import annotations

import http.client
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.domain.topology_file import load_topology
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import LocalInstance, read_state
from microservo.platforms.platform import services_of
from microservo.sources.host.sampler import Sampler
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
    assert list(platform.edges()) == [("loadgen", "front"), ("front", "back")]
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


def test_the_network_of_each_instance_is_metered(target: Path) -> None:
    meter = LocalPlatform(target).meter()

    def all_are_metered() -> bool:
        readings = meter.read()
        return len(readings) == 3 and all(
            reading.get("network.requests.count", 0) > 0 and "network.request.duration.p99" in reading
            for reading in readings.values()
        )

    eventually(all_are_metered, timeout_s=START_S, interval_s=1, what="load on the network of every instance")


def test_a_restart_shows_as_the_seconds_of_its_downtime(target: Path) -> None:
    sampler = Sampler(LocalPlatform(target), now_us)
    downtime_s = [_downtime_s(sampler)]
    before = one(target, "back-0")
    assert before.pid
    os.kill(before.pid, signal.SIGKILL)

    def is_back() -> bool:
        downtime_s.append(_downtime_s(sampler))
        return one(target, "back-0").started_at_us > before.started_at_us

    eventually(is_back, timeout_s=START_S, what="the next process")
    downtime_s.append(_downtime_s(sampler))
    after = one(target, "back-0")
    assert downtime_s[0] == 0
    assert sum(downtime_s) == pytest.approx((after.started_at_us - after.ended_at_us) / 1e6)


def _downtime_s(sampler: Sampler) -> float:
    """Of the service `back` in one sample."""
    rows = next(each for each in sampler.sample() if (each.service, each.instance) == ("back", ""))
    return float(rows.value[rows.name.names.index("service.downtime")])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux pins processes")
def test_instances_are_dealt_out_over_the_cores(target: Path) -> None:
    there = sorted(os.sched_getaffinity(0))

    def cores() -> list[list[int]]:
        instances = read_state(target).instances
        return [psutil.Process(each.pid).cpu_affinity() for each in instances if each.pid]

    # One that has just been restarted pins itself first of all.
    eventually(
        lambda: cores() == [[there[number % len(there)]] for number in range(3)],
        timeout_s=START_S,
        what="every instance on its core",
    )
