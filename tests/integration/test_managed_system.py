"""`microservo up --managed`: the target is on hosts of a file; telemetry, labels and faults go as ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from microservo import Client, RegistryClient
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.nginx import find_nginx
from microservo.application.manager_entities import EntityView
from microservo.errors import Unavailable
from microservo.platforms.local.state import TargetState, read_state
from microservo.retry import retry
from microservo.testing import eventually
from schemas.records import Label, LabelledWindow

pytestmark = pytest.mark.integration

COMMAND = (sys.executable, "-P", "-c", "from microservo.cli import main; main()")
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 4000 }]
[services.back.endpoints.Work]
cpu_ms = 1.0
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""
HOSTS = """
[[host]]
name = "berlin"
latitude = 52.5
longitude = 13.4
[[host]]
name = "boston"
latitude = 42.4
longitude = -71.1
[[host]]
name = "tokyo"
latitude = 35.7
longitude = 139.7
"""
TIMEOUT_S = 300.0
BEHIND_US = 15_000_000
"""Longer than the observer doubts a service behind a fault, of which something may be left."""
_ASK_S = 5.0


T = TypeVar("T")


class System:
    """A managed system as people start it, and what can be asked of it.

    Args:
        folder: with its home and files.
        servers: of the broker.
        prefix: of its topics.
        broker: the same.
    """

    def __init__(self, folder: Path, servers: str, prefix: str, broker: KafkaBroker) -> None:
        self._folder = folder
        self._command = (*COMMAND, "--bootstrap-servers", servers, "--topic-prefix", prefix)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MICROSERVO_")}
        self._environment = {**kept, "MICROSERVO_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
        self.client = Client(broker=broker, topic_prefix=prefix)
        # On a busy machine the broker shows new topics late.
        retry(lambda: self.client.topics.ensure(partitions=2), timeout_s=120)
        (folder / "pair.toml").write_text(TOPOLOGY)
        (folder / "hosts.toml").write_text(HOSTS)

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[bytes]]:
        """Runs until the end of the block; all that is left then is killed with it."""
        log = self._folder / "up.log"
        arguments = ("--topology", "pair.toml", "--hosts", "hosts.toml", "--journeys-per-s", "5")
        with log.open("w") as out:
            process = subprocess.Popen(
                [*self._command, "up", "--managed", *arguments, "--partitions", "2", "--fault-free", "1s"],
                stdout=out,
                stderr=out,
                cwd=self._folder,
                env=self._environment,
            )
        with process:
            try:
                eventually(
                    lambda: "is running" in log.read_text() or process.poll() is not None,
                    timeout_s=2 * TIMEOUT_S,
                    what="the system",
                )
                assert process.poll() is None, log.read_text()
                yield process
            finally:
                process.kill()

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [*self._command, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=self._environment,
        )

    def manage(self, *arguments: str, until: Callable[[], bool], what: str) -> None:
        """Asks the manager for something until that is so.

        On a busy machine its answer may be late, and it refuses then what is under way.
        """
        said = ""

        def is_so() -> bool:
            nonlocal said
            if not until():
                said += self.call("manage", *arguments).stderr
            return until()

        try:
            eventually(is_so, timeout_s=TIMEOUT_S, interval_s=_ASK_S, what=what)
        except AssertionError as error:
            error.add_note(said)
            raise

    def down(self, up: subprocess.Popen[bytes]) -> None:
        """Ends it from another terminal; `down` waits until this process, its parent, knows of it."""
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(self.call, "down")
            assert up.wait(TIMEOUT_S) == 130
            assert "has ended" in ending.result().stdout, ending.result().stderr

    @property
    def state(self) -> TargetState:
        """What faults find."""
        return read_state(self._folder / "home" / "systems" / "default" / "target" / "target.json")

    @property
    def registry_url(self) -> str:
        file = self._folder / "home" / "systems" / "default" / "system.json"
        return f"http://127.0.0.1:{json.loads(file.read_text())['ports']['registry-api']}"

    def entities(self, kind: str) -> tuple[EntityView, ...]:
        """What the manager knows."""
        return patiently(lambda: self.client.manager.list(kind))

    def hosts(self) -> dict[str, str]:
        """The hosts of the target's containers that run, by service; several with a "+" between."""
        return self._of_running("host")

    def managers(self) -> dict[str, str]:
        """Who manages them, likewise."""
        return self._of_running("managed_by")

    def _of_running(self, field: str) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for each in self.entities("container"):
            if each.values["state"] == "running" and each.values["service"] in ("front", "back"):
                found.setdefault(str(each.values["service"]), []).append(str(each.values[field]))
        return {service: "+".join(sorted(values)) for service, values in found.items()}

    def container(self, service: str) -> str:
        """The container of a service that runs."""
        (found,) = self.running(service)
        return found

    def running(self, service: str) -> list[str]:
        """The containers of a service that run."""
        return [
            each.name
            for each in self.entities("container")
            if each.values["service"] == service and each.values["state"] == "running"
        ]

    def have_fault(self, kind: str, **given: object) -> str:
        """Has a fault of `back` come and go; its id."""
        faults, fault_id = self.client.faults, f"{kind}-{uuid.uuid4().hex[:8]}"
        asked = {"service": "back", "duration": "4s", "fault_id": fault_id, **given}
        patiently(lambda: faults.request(kind, **asked))  # type: ignore[arg-type]
        patiently(lambda: faults.wait(fault_id, "recovered", timeout_s=TIMEOUT_S))
        return fault_id

    def wait_behind_faults(self) -> None:
        """Waits until what moves has no other cause than the next fault."""
        ends_us = [each.recovered_at_us or 0 for each in patiently(self.client.faults.list)]
        eventually(
            lambda: now_us() > max(ends_us) + BEHIND_US,
            timeout_s=TIMEOUT_S,
            what="time without faults behind the one before",
        )

    def verdicts(self) -> dict[str, str]:
        """The effect observer's verdict on each fault, by id."""
        return {each.fault_id: each.verdict for each in patiently(self.client.faults.list)}

    def wait_for_labels(self, roots: Mapping[str, str]) -> None:
        """Waits until windows of `back` have these faults as root cause, and those of its caller not.

        Args:
            roots: the container that each fault was in, by the fault's id.
        """
        missing = {(fault_id, "back") for fault_id in roots}
        # Requests go through a fault on telemetry as before, so it reaches no caller.
        missing |= {(fault_id, "front") for fault_id in roots if not fault_id.startswith("telemetry-")}
        with self.client.topics.subscribe("labelled-windows", start="earliest") as windows:

            def are_there() -> bool:
                received = windows.poll(1.0)
                window = received.record if received else None
                if isinstance(window, LabelledWindow):
                    for label in window.labels:
                        missing.discard((label.fault_id, window.service))
                        check(window.service, label, roots)
                return not missing

            eventually(are_there, timeout_s=TIMEOUT_S, interval_s=0.0, what=f"labels of {sorted(roots)}")


def patiently(act: Callable[[], T]) -> T:
    """What comes of it once the broker, and the manager, answer."""
    return retry(lambda: retry(act, timeout_s=TIMEOUT_S), timeout_s=TIMEOUT_S, passing=Unavailable)


def check(service: str, label: Label, roots: Mapping[str, str]) -> None:
    assert label.root_service == "back"
    assert (label.role == "root_cause") == (service == "back"), (service, label)
    assert set(label.instances) <= {roots[label.fault_id]}
    if service == "back" and label.overlap > 0:
        assert label.instances == (roots[label.fault_id],)


def wait_for_components(system: System, region: str) -> None:
    """Waits until a region has all that it gets on this machine."""
    wanted = {"region-registry", "region-worker"}
    with suppress(Unavailable):
        find_nginx()
        wanted.add("region-balancer")
    eventually(
        lambda: (
            wanted
            == {
                str(each.values["service"])
                for each in system.entities("container")
                if each.values["region"] == region
                and each.values["state"] == "running"
                and str(each.values["service"]).startswith("region-")
            }
        ),
        timeout_s=TIMEOUT_S,
        what=f"components of {region}",
    )


def assert_each_runs_once(system: System) -> None:
    hosts = system.hosts()
    assert hosts.keys() == {"front", "back"}
    assert set(hosts.values()) <= {"berlin", "boston", "tokyo"}


@pytest.fixture
def system(
    kafka_broker: KafkaBroker, kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> System:
    return System(tmp_path, kafka_bootstrap_servers, topic_prefix, kafka_broker)


def test_a_target_on_hosts_is_moved_and_has_faults_and_labels_until_ctrl_c_ends_all(system: System) -> None:
    with system.up() as process:
        assert system.hosts() == {"front": "berlin", "back": "berlin"}
        nodes = {each.name for each in system.entities("node") if each.values["is_ready"]}
        assert nodes == {"berlin", "boston", "tokyo"}
        wait_for_components(system, "Europe")
        back = system.container("back")
        roots = {system.have_fault("network-delay", parameters={"latency": "100ms"}): back}

        patiently(lambda: system.client.manager.update("settings/manager", migration_delay_us=1_000_000))
        system.manage(
            *("migrate", back, "--at", "35.7,139.7", "--wait"),
            until=lambda: (
                system.hosts() == {"front": "berlin", "back": "tokyo"}
                and back not in {each.id for each in system.state.instances}
            ),
            what="the service having moved",
        )
        moved = system.container("back")
        assert moved != back
        wait_for_components(system, "Asia")
        with RegistryClient(system.registry_url, token=system.state.control_token) as registry:

            def registered() -> list[tuple[str, str, str]]:
                return [(each.instance_id, each.region, each.state) for each in registry.endpoints("back")]

            eventually(
                lambda: registered() == [(moved, "Asia", "up")], timeout_s=TIMEOUT_S, what="its registration"
            )
        # What moved is the target still.
        for kind in ("telemetry-drop", "http-abort"):
            roots[system.have_fault(kind)] = moved
        system.wait_behind_faults()
        roots[system.have_fault("region-cut")] = moved

        system.manage(
            *("assign", "berlin", "worker-europe"),
            until=lambda: system.managers() == {"front": "worker-europe", "back": "master"},
            what="the region's worker managing its host",
        )
        system.wait_behind_faults()
        # One that fails has what ran there be brought back elsewhere, by whoever manages that host.
        roots[system.have_fault("host-down")] = moved
        eventually(
            lambda: len(system.running("back")) == 1 and system.running("back") != [moved],
            timeout_s=TIMEOUT_S,
            what="the service being back",
        )
        system.wait_for_labels(roots)
        judged = {each for each in roots if each.startswith(("region-cut", "host-down"))}
        eventually(
            lambda: {system.verdicts()[each] for each in judged} == {"confirmed"},
            timeout_s=TIMEOUT_S,
            what="both faults being confirmed",
        )
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
        _, alive = psutil.wait_procs(children, timeout=TIMEOUT_S)
        assert alive == []
    assert [each.status for each in patiently(system.client.runs.list)] == ["finished"]
