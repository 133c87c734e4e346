"""A tiny topology on this machine: real workloads, real sidecars, real load."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import pytest

from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.domain.faults.catalogue import KINDS
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


@dataclass(frozen=True)
class Probe:
    """One look from outside, from when until when, and whether it saw the fault."""

    begin_us: int
    end_us: int
    sees: bool


class Prober:
    """Looks again and again, from several threads, until it is closed."""

    def __init__(self, look: Callable[[], bool], threads: int) -> None:
        self.probes: list[Probe] = []
        self._look = look
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int) -> None:
        """Returns when so many more looks have begun and ended."""
        begin_us = now_us()
        eventually(
            lambda: sum(probe.begin_us >= begin_us for probe in list(self.probes)) >= count,
            timeout_s=START_S,
            what="probes",
        )

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            begin_us = now_us()
            sees = self._look()
            self.probes.append(Probe(begin_us, now_us(), sees))


HELD_US = 2_000_000
Look = Callable[[LocalInstance], bool]


def is_answered_with(status: int) -> Look:
    return lambda instance: ask(instance.sidecar_port, "/Get") == status


def takes_long(instance: LocalInstance) -> bool:
    begin_us = now_us()
    ask(instance.sidecar_port, "/Get")
    return now_us() - begin_us >= HELD_US


def has_hogs(instance: LocalInstance) -> bool:
    assert instance.pid is not None
    found = []
    for child in psutil.Process(instance.pid).children():
        with suppress(psutil.NoSuchProcess):
            found.append(child.status() != psutil.STATUS_ZOMBIE)
    return any(found)


@pytest.mark.parametrize(
    ("kind", "parameters", "look", "held_us"),
    [
        ("http-abort", {"status": "418", "ratio": "100%"}, is_answered_with(418), 0),
        ("app-exception", {"ratio": "100%"}, is_answered_with(500), 0),
        ("network-delay", {"latency": "2s"}, takes_long, HELD_US),
        ("cpu-hog", {"workers": "1", "load": "80%"}, has_hogs, 0),
    ],
)
def test_the_times_of_a_fault_are_those_that_show_from_outside_within_what_is_published(
    target: Path, kind: str, parameters: dict[str, str], look: Look, held_us: int
) -> None:
    (mechanism,) = LocalPlatform(target).mechanisms(kind)
    wire = KINDS[kind].from_text(parameters).wire()
    instance = one(target, "back-0")
    with Prober(lambda: look(instance), threads=8 if held_us else 2) as prober:
        prober.wait_for_more(10)
        applied = mechanism.apply("back-0", "probed", wire)
        try:
            prober.wait_for_more(20)
        finally:
            recovered = mechanism.recover("back-0", "probed", wire)
        prober.wait_for_more(10)

    assert applied.within_us is not None
    assert recovered.within_us is not None
    for probe in prober.probes:
        if probe.sees:
            # What is held back was met so long before it was answered.
            assert probe.end_us - held_us >= applied.at_us - applied.within_us, "it shows too early"
            assert probe.begin_us < recovered.at_us, "it shows after its end"
        elif probe.begin_us >= applied.at_us:
            assert probe.end_us >= recovered.at_us - recovered.within_us, "it does not show while in force"
    shown = [probe.sees for probe in prober.probes]
    assert shown.count(True) >= 5
    assert shown.count(False) >= 15
