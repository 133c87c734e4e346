"""A manager over real processes of this machine: an app is launched in order, moved, and brought back."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from managers import ASIA, EUROPE, TAG, Fleet, fleet

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.errors import InvalidInput
from microservo.platforms.local.remote_driver import LAUNCHER_URL, RemoteDriver, from_environment
from microservo.platforms.local.state import read_state
from microservo.platforms.local.token import VARIABLE, new_token
from microservo.runtime.probe import is_healthy
from microservo.supervision.supervisor import ProcessSpec, Supervisor
from microservo.testing import eventually

pytestmark = pytest.mark.integration

TIMEOUT_S = 120.0
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front]
type = "frontend"
launch_order = 2
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 60000 }]
[services.back]
launch_order = 1
[services.back.endpoints.Work]
cpu_ms = 1.0
calls = [{ service = "store", endpoint = "Read", timeout_ms = 60000 }]
[services.store]
type = "database"
[services.store.endpoints.Read]
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""
# Without a proxy, whatever the environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Machine:
    """A launcher with its topology, and a fleet that is managed on it."""

    def __init__(self, world: Fleet, folder: Path, topology: Path) -> None:
        self.world = world
        self.topology = topology
        self._state = folder / "target.json"

    def pid(self, container: str) -> int:
        found = read_state(self._state).instance(container)
        assert found is not None
        assert found.pid is not None
        return found.pid

    def addresses(self, service: str) -> list[str]:
        return [
            each.address for each in self.world.driver.containers() if each.service == service and each.ready
        ]

    def is_served(self) -> bool:
        """Whether a user's request to the entry goes through, by way of the other service."""
        request = urllib.request.Request(f"http://{self.addresses('front')[0]}/Page", method="POST")
        with OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)


@pytest.fixture
def machine(kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Machine]:
    topology, folder = tmp_path / "pair.toml", tmp_path / "run"
    topology.write_text(TOPOLOGY)
    [port] = free_ports(1)
    url, token = f"http://127.0.0.1:{port}", new_token()
    argv = [*python_argv("services.launcher"), "--topology", str(topology), "--folder", str(folder)]
    argv += ["--otlp", "http://127.0.0.1:1", "--port", str(port), "--host-start-s", "0.3"]
    with Supervisor() as supervisor:
        supervisor.start(
            ProcessSpec(
                name="launcher",
                argv=tuple(argv),
                env={VARIABLE: token},
                log=tmp_path / "launcher.log",
                stop_timeout_s=TIMEOUT_S,
                ready=lambda: is_healthy(url),
            )
        )
        supervisor.wait_ready(["launcher"], TIMEOUT_S)
        with fleet(kafka_broker, topic_prefix, RemoteDriver(url, token, managed_by=TAG)) as world:
            yield Machine(world, folder, topology)


def test_an_app_is_launched_moved_and_brought_back_and_outlives_its_manager(machine: Machine) -> None:
    world, manager = machine.world, machine.world.client.manager
    first = world.manager()
    manager.create("settings/manager", migration_delay_us=1_000_000)
    world.add_hosts("berlin", "tokyo")
    manager.seed(str(machine.topology))
    manager.launch_app("pair", near=EUROPE, finish_s=TIMEOUT_S)
    eventually(lambda: list(world.states().values()) == ["running"] * 3, timeout_s=TIMEOUT_S)
    assert set(world.running().values()) == {"berlin"}
    assert {name.rpartition("-")[0] for name in world.running()} == {"front", "back", "store"}
    assert machine.is_served()

    (back,) = [name for name in world.running() if name.startswith("back")]
    # The database that it needs beside it comes along, and the one that nobody needs any more goes.
    launched = manager.migrate(back, near=ASIA, finish_s=TIMEOUT_S).containers
    (moved,) = [name for name in launched if name.startswith("back")]
    eventually(lambda: back not in world.running(), timeout_s=TIMEOUT_S, what="the old one is stopped")
    eventually(
        lambda: sorted(world.running().values()) == ["berlin", "tokyo", "tokyo"],
        timeout_s=TIMEOUT_S,
        what="its database is beside it alone",
    )
    assert world.running()[moved] == "tokyo"
    assert machine.is_served()

    os.kill(machine.pid(moved), signal.SIGKILL)
    eventually(
        lambda: moved not in world.running() and len(machine.addresses("back")) == 1,
        timeout_s=TIMEOUT_S,
        what="another one serves",
    )
    assert machine.is_served()

    first.kill()
    before = world.running()
    world.manager()
    eventually(lambda: list(world.states().values()) == ["running"] * 3, timeout_s=TIMEOUT_S)
    assert world.running() == before
    assert machine.is_served()


def test_which_launcher_a_manager_asks_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAUNCHER_URL, raising=False)
    with pytest.raises(InvalidInput, match=f"{LAUNCHER_URL} is not set"):
        from_environment("tag")
    monkeypatch.setenv(LAUNCHER_URL, "http://127.0.0.1:1")
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InvalidInput, match=f"{VARIABLE} is not set"):
        from_environment("tag")
    monkeypatch.setenv(VARIABLE, "secret")
    assert isinstance(from_environment("tag"), RemoteDriver)
